import type { ContractDescription, JsonSchema, JsonValue } from '@comity/contract'

/**
 * What teams tell each other about themselves: the contracts of the system topics. Objects are open: fields that a newer version
 * adds are ignored, and so is a whole message whose `v` is larger. Times are RFC 3339 in UTC, ages are seconds.
 */

/** What something is doing, the worst first. `unattended`: no process that is alive runs it. */
export type Activity = 'stuck' | 'trouble' | 'unattended' | 'paused' | 'working' | 'idle'
export const WORST_FIRST: readonly Activity[] = ['stuck', 'trouble', 'unattended', 'paused', 'working', 'idle']

export interface Heartbeat {
  readonly v: number
  readonly team: string
  readonly at: string
  /** Version of the library in the process that sends. */
  readonly library: string
  /** The worst of relay and subscriptions. */
  readonly state: Activity
  readonly processes: readonly ProcessReport[]
  readonly relay: RelayReport
  readonly subscriptions: readonly SubscriptionReport[]
  /** Subscriptions and processes that were left out, because there are too many; what needs someone comes first. */
  readonly omitted?: number
}
export interface ProcessReport {
  readonly holder: string
  readonly library: string
  readonly startedAt: string
  /** Since it last reported. */
  readonly age: number
  /** Silent for a minute: it ended without a goodbye, or hangs. */
  readonly gone?: boolean
}
export interface RelayReport {
  readonly state: Activity
  /** Who relays; null while nobody does. */
  readonly holder: string | null
  readonly checkpoint: number
  /** Rows above the checkpoint, counted to ten thousand. */
  readonly pending: number
  readonly withheld: number
  readonly troubleSince?: string
}
export interface SubscriptionReport {
  readonly name: string
  readonly state: Activity
  /** Delivered and not ended, in all processes. */
  readonly inFlight: number
  /** How messages ended, ever; what is 0 is left out. */
  readonly ended: Readonly<Record<string, number>>
  /** Keys with a line. */
  readonly waitingKeys: number
}

export interface DeclarationReport {
  readonly v: number
  readonly team: string
  readonly library: string
  readonly owns: readonly DeclaredContract[]
  readonly publishes: readonly DeclaredContract[]
  readonly keeps: readonly DeclaredSubscription[]
  readonly handles: readonly DeclaredSubscription[]
  readonly operates: readonly string[]
  readonly operators: readonly string[]
  /** Of the team's own software, as it calls it. */
  readonly version?: string
  /** Whom to ask about the team. */
  readonly contact?: string
  /** Requests to other teams. */
  readonly asks?: readonly DeclaredUse[]
  /** Requests that this team decides. */
  readonly answers?: readonly DeclaredContract[]
}
export interface DeclaredContract {
  readonly name: string
  readonly kind: string
  /** Of the contract's description: equal hashes mean the same contract. */
  readonly hash: string
}
/** What a team does with another's contract. */
export interface DeclaredUse {
  readonly contract: string
  /** Of the contract as this team has it. */
  readonly hash: string
}
export interface DeclaredSubscription extends DeclaredUse {
  readonly name: string
  readonly audience?: string
  /** The declared fields of a copy; those that a handler has said it reads. */
  readonly fields?: readonly string[]
  /** Of a copy: `schema.table`, and the column of each field, key and tenant too. */
  readonly table?: string
  readonly columns?: Readonly<Record<string, string>>
  /** Of a copy: the fields that decide which rows it keeps. */
  readonly where?: readonly string[]
}

/** One contract of the team's own, on the topic that all teams read. */
export interface CatalogContract {
  readonly v: number
  readonly team: string
  readonly name: string
  readonly hash: string
  readonly description: ContractDescription
}

/** A sign of life, there too. */
export interface Seen {
  readonly v: number
  readonly team: string
  readonly library: string
  readonly state: Activity
}

export interface Command {
  readonly v: number
  /** A UUID that the sender draws: the same command, however often it is delivered. */
  readonly id: string
  /** The team that shall do it; the message's key. */
  readonly to: string
  readonly kind: string
  readonly arguments: JsonValue
  readonly author: string
  readonly reason: string
  readonly requestedAt: string
}

export interface Answer {
  readonly v: number
  /** The command's id. */
  readonly command: string
  /** The team that commanded; the message's key. */
  readonly to: string
  /** The team that answers. */
  readonly team: string
  readonly kind: string
  readonly outcome?: JsonValue
  readonly error?: { readonly code: string; readonly message: string }
  readonly doneAt: string
}

/** The newest version that this code writes and reads. */
export const CONTROL_VERSION = 1

const text = { type: 'string', minLength: 1, maxLength: 10_000 } as const
const count = { type: 'number', minimum: 0 } as const
const version = { type: 'integer', minimum: 1 } as const
const uuid = { type: 'string', maxLength: 36, pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' } as const
const open = (properties: Readonly<Record<string, JsonSchema>>, optional: readonly string[] = []): JsonSchema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
})
const listOf = (items: JsonSchema): JsonSchema => ({ type: 'array', items })

const contract = open({ name: text, kind: text, hash: text })
const subscription = open(
  {
    ...{ name: text, contract: text, hash: text, audience: text, fields: listOf(text), table: text, where: listOf(text) },
    columns: { type: 'object', additionalProperties: text },
  },
  ['audience', 'fields', 'table', 'columns', 'where'],
)
const use = open({ contract: text, hash: text })

export type SystemType = 'comity.heartbeat' | 'comity.declaration' | 'comity.command' | 'comity.answer' | 'comity.contract' | 'comity.seen'

/** By the type of the message. */
export const SCHEMAS: Readonly<Record<SystemType, JsonSchema>> = {
  'comity.heartbeat': open(
    {
      v: version,
      team: text,
      at: text,
      library: text,
      state: text,
      processes: listOf(open({ holder: text, library: text, startedAt: text, age: count })),
      relay: open({ state: text, checkpoint: count, pending: count, withheld: count }),
      subscriptions: listOf(open({ name: text, state: text, inFlight: count, ended: { type: 'object' }, waitingKeys: count })),
      omitted: count,
    },
    ['omitted'],
  ),
  'comity.declaration': open(
    {
      v: version,
      team: text,
      library: text,
      owns: listOf(contract),
      publishes: listOf(contract),
      keeps: listOf(subscription),
      handles: listOf(subscription),
      operates: listOf(text),
      operators: listOf(text),
      version: text,
      contact: text,
      asks: listOf(use),
      answers: listOf(contract),
    },
    ['version', 'contact', 'asks', 'answers'],
  ),
  'comity.contract': open({
    ...{ v: version, team: text, name: text, hash: text },
    description: open({
      contractKind: text,
      name: text,
      owner: text,
      keyFields: listOf(text),
      schema: { type: 'object' },
      fields: listOf(text),
    }),
  }),
  'comity.seen': open({ v: version, team: text, library: text, state: text }),
  'comity.command': open({
    v: version,
    id: uuid,
    to: text,
    kind: text,
    arguments: { type: 'object' },
    author: { type: 'string', maxLength: 1000 },
    reason: { type: 'string', maxLength: 10_000 },
    requestedAt: text,
  }),
  'comity.answer': open(
    {
      v: version,
      command: uuid,
      to: text,
      team: text,
      kind: text,
      outcome: {},
      error: open({ code: text, message: { type: 'string' } }),
      doneAt: { type: 'string', format: 'date-time' },
    },
    ['outcome', 'error'],
  ),
}
