import { type Clock, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { CATALOG_TOPIC } from './catalog-topic.ts'
import { type CatalogContract, CONTROL_VERSION, type DeclarationReport, type Seen } from './contracts.ts'
import type { SystemSender } from './system-sender.ts'

const ANNOUNCED = `
  insert into comity.announced (what, hash, at) values ('catalog', $1::text, clock_timestamp())
  on conflict (what) do update set hash = excluded.hash, at = excluded.at`

/** Between two signs of life for everybody, in milliseconds: each of n teams sends one, and each reads n. */
export const SEEN_EVERY = 60_000

/**
 * What a team tells every other, from the process that announces: its declaration and the contracts that are its own, whenever they are others
 * than it said last, every hour, and when a team is heard of for the first time, which can't know them; a sign of life every minute.
 */
export interface CatalogVoice {
  /** @param look what the database says now; `catalogued` is null while the declaration is to be said */
  tell(look: { readonly catalogued: string | null; readonly state: Seen['state'] }): Promise<void>
}

export function catalogVoice(options: {
  readonly declaration: DeclarationReport
  readonly contracts: readonly Omit<CatalogContract, 'v' | 'team'>[]
  /** Of declaration and contracts. */
  readonly hash: string
  readonly database: Queryable
  readonly send: SystemSender
  readonly clock?: Clock
}): CatalogVoice {
  const { declaration, contracts, hash, database, send, clock = systemClock } = options
  const { team, library } = declaration
  let seenAt = Number.NEGATIVE_INFINITY

  return {
    async tell({ catalogued, state }) {
      if (catalogued !== hash) {
        // The declaration first: of a contract that nobody declares there is nothing to keep.
        if (!(await send(CATALOG_TOPIC, 'comity.declaration', declaration))) return
        for (const contract of contracts) {
          const said: CatalogContract = { v: CONTROL_VERSION, team, ...contract }
          if (!(await send(CATALOG_TOPIC, 'comity.contract', said))) return
        }
        await database.query(ANNOUNCED, [hash])
        // Who is new knows nothing of it yet.
        seenAt = Number.NEGATIVE_INFINITY
      }
      if (clock.monotonic() - seenAt < SEEN_EVERY) return
      const seen: Seen = { v: CONTROL_VERSION, team, library, state }
      if (await send(CATALOG_TOPIC, 'comity.seen', seen)) seenAt = clock.monotonic()
    },
  }
}
