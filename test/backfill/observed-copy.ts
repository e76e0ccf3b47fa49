import type { PostgresDatabase } from '../../packages/comity/src/postgres/index.ts'
import type { Publication, ReplicaObservation } from '../../packages/comity/src/testing/index.ts'
import { owned } from '../../packages/comity/test/backfill/customers.ts'

/** Every change of the copy's rows, in order, by Postgres itself; rows that are copied in fire it, too. */
export const WATCH = [
  'create table row_changes (n bigint generated always as identity, key text not null, version bigint)',
  `create function record_change() returns trigger language plpgsql as $$
   begin
     insert into row_changes (key, version) values (coalesce(new.id, old.id), new.comity_version);
     return null;
   end $$`,
  'create trigger record_change after insert or update or delete on crm_customer for each row execute function record_change()',
]

/**
 * What the broker stored on the live topic, read from its own table, and from whom.
 * @param markOf what is a state's mark
 */
export async function publications(
  bus: PostgresDatabase,
  markOf: (state: Readonly<Record<string, string>>) => string | undefined = ({ name }) => name,
): Promise<readonly (Publication & { readonly source: string })[]> {
  const { rows } = await bus.query<{ id: string; key: string; attributes: string; data: string }>(
    `select m.id, m.key, m.attributes, m.data from comity_bus.messages m join comity_bus.topics t on t.id = m.topic_id
     where t.name = 'crm.customer' order by m.bucket, m."offset"`,
  )
  return rows.flatMap(({ id, key, attributes, data }) => {
    const {
      'ce-comityversion': version,
      'ce-comitykind': kind,
      'ce-source': source = '',
    } = JSON.parse(attributes) as Record<string, string>
    if (version === undefined || id.includes('mark')) return []
    const deleted = kind === 'deleted'
    return [
      {
        ...({ f: 'publication', phase: 'ok', process: 'bus', time: performance.now(), topic: 'crm.customer', key, message: id } as const),
        ...({
          kind: deleted ? 'deleted' : 'state',
          version: Number(version),
          mark: deleted ? null : (markOf(JSON.parse(data)) ?? null),
          source,
        } as const),
      },
    ]
  })
}

/** marketing's copy, for the history checker, beside the table of whoever owns it. */
export async function observedCopy(owner: PostgresDatabase, copy: PostgresDatabase): Promise<ReplicaObservation> {
  const [rows, changes] = await Promise.all([
    copy.query<{ id: string; email: string; name: string; version: string }>(
      'select id, email, name, comity_version::text as version from crm_customer',
    ),
    copy.query<{ key: string; version: string | null }>('select key, version::text as version from row_changes order by n'),
  ])
  return {
    ...{ name: 'marketing.crm-customer', topic: 'crm.customer', fields: ['email', 'name'], waitingKeys: [], backlog: 0 },
    owner: (await owned(owner)).map(asRow),
    rows: rows.rows.map((row) => ({ ...asRow(row), version: Number(row.version) })),
    changes: changes.rows.map(({ key, version }) => ({ key, version: version === null ? null : Number(version) })),
  }
}

function asRow({ id, email, name }: Record<string, unknown>): { readonly key: string; readonly fields: Record<string, string> } {
  return { key: String(id), fields: { email: String(email), name: String(name) } }
}
