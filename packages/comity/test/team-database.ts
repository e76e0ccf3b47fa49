import type { Contract } from '@comity/contract'
import { describe } from '@comity/contract'
import { freshDatabase } from '../../../test/support/postgres.ts'
import { connect, type PostgresDatabase } from '../src/postgres/index.ts'

/** A database with schema `comity` and the given published contracts, for tests of single layers. */
export async function teamDatabase(published: readonly Contract[] = []): Promise<PostgresDatabase & { readonly url: string }> {
  const { url } = await freshDatabase({ migrated: true })
  const database = connect(url, { max: 20 })
  for (const contract of published) {
    await database.query(
      `insert into comity.contracts (topic, kind, source, key_fields, tenant_field, ordered, required_fields, description)
       values ($1::text, $2::text, 'published', array(select jsonb_array_elements_text($3::text::jsonb)), $4::text, $5::boolean,
               array(select jsonb_array_elements_text($6::text::jsonb)), $7::text::jsonb)`,
      [
        contract.name,
        contract.contractKind,
        JSON.stringify(contract.keyFields),
        contract.tenantField ?? null,
        contract.ordered,
        JSON.stringify(contract.schema.required ?? []),
        JSON.stringify(describe(contract)),
      ],
    )
  }
  return Object.assign(database, { url })
}
