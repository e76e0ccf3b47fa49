import type { Environment } from '../../catalog/environment.ts'
import { arrayLiteral } from '../../postgres/index.ts'
import type { LetterSelection } from './conditions.ts'
import { type DeadLetter, listDeadLetters } from './list-dead-letters.ts'

/** One dead letter on its own line of NDJSON. */
export interface ExportedDeadLetter extends DeadLetter {
  readonly attributes?: Readonly<Record<string, string>>
  /** JSON text, as it came. */
  readonly data?: string
}

const HEADS = `
  select k.subscription, k.key, w.attributes, w.data from unnest($1::text::text[], $2::text::text[]) asked(subscription, key)
  join comity.waiting_keys k on k.subscription = asked.subscription and k.key = asked.key
  cross join lateral (
    select w.attributes, w.data from comity.waiting w where w.subscription = k.subscription and w.key = k.key and w.seq > k.done order by w.seq limit 1
  ) w`

/** All dead letters of a selection, page by page: none is held in memory longer than it takes to hand it on. @param options with `data` the attributes and data of each head too */
export async function* exportDeadLetters(
  environment: Environment,
  selection: LetterSelection = {},
  options: { readonly data?: boolean } = {},
): AsyncGenerator<ExportedDeadLetter> {
  // Data can be large: fewer of it at a time.
  const limit = options.data ? 100 : 1000
  let after: string | undefined
  do {
    const { items, next } = await listDeadLetters(environment, { ...selection, after, limit })
    yield* options.data ? await withData(environment, items) : items
    after = next ?? undefined
  } while (after !== undefined)
}

/** One that has gone on meanwhile has no data any more. */
async function withData({ database }: Environment, letters: readonly DeadLetter[]): Promise<readonly ExportedDeadLetter[]> {
  const { rows } = await database.query<{ subscription: string; key: string; attributes: string; data: string }>(HEADS, [
    arrayLiteral(letters.map(({ subscription }) => subscription)),
    arrayLiteral(letters.map(({ key }) => key)),
  ])
  const heads = new Map(rows.map((row) => [JSON.stringify([row.subscription, row.key]), row]))
  return letters.map((letter) => {
    const head = heads.get(JSON.stringify([letter.subscription, letter.key]))
    return head === undefined ? letter : { ...letter, attributes: JSON.parse(head.attributes), data: head.data }
  })
}
