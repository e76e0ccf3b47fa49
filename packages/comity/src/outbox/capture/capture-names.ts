import { createHash } from 'node:crypto'
import { qualified } from '../../postgres/quote.ts'

/** How everything is called that capturing one topic creates. */
export interface CaptureNames {
  /** What all names start with; the topic itself, unless it is too long for an identifier. */
  readonly prefix: string
  /** The contract view, for everyone who may read the published fields. */
  readonly view: string
  /** Raw key, key text, tenant and JSON text of every row. */
  readonly state: string
  /** Row → key text, tenant, why the key does not fit; two rows → whether their published images differ. */
  readonly key: string
  readonly tenant: string
  readonly keyUnfit: string
  readonly changed: string
  /** Row → its nth key column. */
  rawKey(position: number): string
  /** Columns → JSON text of an expression, bare and with errors caught. */
  expression(position: number): string
  tryExpression(position: number): string
  /** The trigger function. */
  readonly capture: string
  /** Sorts last: of BEFORE TRUNCATE triggers ours must see what the others have done. */
  trigger(event: string): string
}

/** Leaves room for the longest word that follows, within Postgres's 63 bytes. */
const PREFIX_BYTES = 44

export function captureNames(topic: string): CaptureNames {
  const prefix =
    topic.length <= PREFIX_BYTES ? topic : `${topic.slice(0, 35)}-${createHash('sha256').update(topic).digest('hex').slice(0, 8)}`
  const own = (what: string): string => qualified('comity', `${prefix} ${what}`)
  return {
    prefix,
    view: qualified('comity_public', prefix),
    state: own('state'),
    key: own('key'),
    tenant: own('tenant'),
    keyUnfit: own('key unfit'),
    changed: own('changed'),
    rawKey: (position) => own(`key ${position + 1}`),
    expression: (position) => own(`value ${position + 1}`),
    tryExpression: (position) => own(`try ${position + 1}`),
    capture: own('capture'),
    trigger: (event) => `zz_comity ${prefix} ${event}`,
  }
}
