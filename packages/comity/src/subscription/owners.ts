import type { ContractDescription } from '@comity/contract'
import { type Logger, logEvent } from '../foundation/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import type { HandOver } from '../transport/marks.ts'

type Owned = Pick<ContractDescription, 'name' | 'owner' | 'former'>

/**
 * Whether a version of a contract is this team's to publish. Who owns it is what its owners have said, one after the other, and not what the code
 * of a reader says: that may be older than a hand-over, or newer (docs/decisions/0022-handing-over.md).
 * @param handOvers that were heard, the oldest first
 */
export function isOwner({ owner, former = [] }: Owned, handOvers: readonly HandOver[], team: string, version: number): boolean {
  const [first] = handOvers
  if (first === undefined) return team === owner || former.includes(team)
  const last = handOvers.findLast((one) => one.version < version)
  if (last !== undefined) return team === last.next
  // Of older owners only the contract knows; where it knows none of this hand-over, all that it names are older.
  const known = former.lastIndexOf(first.owner)
  return team === first.owner || (known < 0 ? former : former.slice(0, known)).includes(team)
}

/* Only who owns it can give it away; the same is said in each bucket, and to each subscription. */
const NOTE = `
  with known as (
    select h.version, h.next from comity.hand_overs h where h.topic = $1::text order by h.version desc limit 1
  ), first as (
    select h.version, h.owner from comity.hand_overs h where h.topic = $1::text order by h.version limit 1
  )
  insert into comity.hand_overs (topic, version, owner, next)
  select $1::text, $2::text::bigint, $3::text, $4::text
  where case when exists (select from known) then exists (select from known k where k.next = $3::text and k.version < $2::text::bigint)
      -- Or one that was missed, when history is gone back over.
      or exists (select from first f where f.owner = $4::text and f.version > $2::text::bigint and $3::text = any ($5::text::text[]))
    else $3::text = any ($5::text::text[]) end
  on conflict do nothing returning 1 as noted`
const NOTED = 'select from comity.hand_overs where topic = $1::text and version = $2::text::bigint and owner = $3::text and next = $4::text'

/** What a reader does when it is told, before it takes anything that comes after it. */
export async function noteHandOver(
  database: Queryable,
  subscription: string,
  contract: Owned,
  { version, owner, next }: HandOver,
  logger: Logger,
): Promise<void> {
  const owners = arrayLiteral([...(contract.former ?? []), contract.owner])
  const said = [contract.name, String(version), owner, next]
  const { rows } = await database.query(NOTE, [...said, owners])
  const fields = { subscription, topic: contract.name, sender: owner, next }
  if (rows.length > 0) logEvent(logger, 'comity.entity.changed_hands', fields)
  else if ((await database.query(NOTED, said)).rows.length === 0) logEvent(logger, 'comity.entity.hand_over_ignored', fields)
}
