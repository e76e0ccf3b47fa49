import { afterAll, beforeAll, expect, it } from 'vitest'
import { onEachPostgres } from '../../../../test/support/postgres.ts'
import { type AuditedField, inNameOrder } from '../../src/audit/audited-field.ts'
import { DigestSums, type SlicedDigest } from '../../src/audit/digest-sums.ts'
import { replicaSource } from '../../src/audit/row-source.ts'
import { columnFromWire } from '../../src/outbox/capture/index.ts'
import { arrayLiteral } from '../../src/postgres/index.ts'
import type { CanonicalKind } from '../../src/replica/canonical-kind.ts'
import { type CapturedDatabase, capturedDatabase } from '../outbox/capture/captured-database.ts'
import { bucketOf, canonicalRow, canonicalText, digestOf, rowHash } from './reference.ts'

const path = '../../../../docs/canonical-form.json'
const secret = '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'

/** Names beyond ASCII, and one that sorts before `id`, so that the order of bytes shows. */
const FIELDS: readonly AuditedField[] = [
  { name: 'id', kind: 'text' },
  { name: 'Name', kind: 'text' },
  { name: 'éclat', kind: 'boolean' },
  { name: 'count', kind: 'integer' },
  { name: 'ratio', kind: 'number' },
  { name: 'ref', kind: 'uuid' },
  { name: 'day', kind: 'date' },
  { name: 'at', kind: 'date-time' },
  { name: 'more', kind: 'json' },
]
const TYPES: Readonly<Record<CanonicalKind, string>> = {
  ...{ text: 'text', boolean: 'boolean', integer: 'bigint', number: 'double precision', uuid: 'uuid', date: 'date' },
  ...{ 'date-time': 'timestamptz', timestamp: 'timestamp', json: 'jsonb' },
}
const REPLICA = {
  ...{ name: 'golden.copy', schema: 'public', table: 'golden' },
  columns: FIELDS.map(({ name, kind }) => ({ field: name, column: name, type: TYPES[kind], ...(name === 'id' ? { key: 0 } : {}) })),
}

const row = (id: string, fields: Readonly<Record<string, unknown>> = {}) => ({ id, Name: 'n', ...fields })
/** JSON texts, because JavaScript would spell some numbers anew. */
const STATES: readonly string[] = [
  ...[row('nothing'), row('nulls', { Name: null, éclat: null, more: null }), row('empty', { Name: '' }), row('the text', { Name: 'null' })],
  ...[row('blank', { Name: ' ' }), row('case', { Name: 'N' }), row('quotes', { Name: `'"\\\n\t\u0001\u007f{}` })],
  ...[
    row('unicode ☃ 😀', { Name: 'é 😀 \u2028' }),
    row('decomposed', { Name: 'e\u0301' }),
    row('true', { éclat: true }),
    row('false', { éclat: false }),
  ],
  ...[0, 1, -1, 9007199254740991, -9007199254740991].map((count) => row(`count ${count}`, { count })),
  ...[0, 0.1, 1, -1.5, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 1e23, 123456789012345680].map((ratio) =>
    row(`ratio ${ratio}`, { ratio }),
  ),
  row('uuid', { ref: '550E8400-e29b-41d4-A716-446655440000' }),
  ...['2026-11-26', '0001-01-01', '9999-12-31', '2024-02-29'].map((day) => row(`day ${day}`, { day })),
  ...[
    '2026-11-26T13:00:00Z',
    '2026-11-26T14:30:00.5+01:30',
    '2026-12-31T23:59:59.9999999Z',
    '0001-01-01T00:00:00.000001Z',
    '2026-11-26t13:00:00.1234565z',
  ].map((at) => row(`at ${at}`, { at })),
  ...[{}, [], '', 'a', true, false, [null], { b: 1, a: { '': [1.5, -2, 'x"y', 1e300] }, aa: null, é: 0 }, 0.5, -0.001].map((more, i) =>
    row(`more ${i}`, { more }),
  ),
]
  .map((state) => JSON.stringify(state))
  .concat(
    '{"id":"spelled 1","Name":"n","count":-0,"ratio":1.50,"more":{"x":1.0,"y":[1e2,-0,1E400]}}',
    '{"id":"large","Name":"n","more":12345678901234567890}',
    '{"id":"spelled 2","Name":"n","count":42,"ratio":100e-2,"more":{"y":[100.0,0,1e999],"x":1}}',
  )

const vectors = () => {
  const rows = STATES.map((text) => {
    const state = JSON.parse(text) as Record<string, unknown>
    const row = canonicalRow(secret, FIELDS, state)
    const hash = rowHash(row)
    const texts = Object.fromEntries(inNameOrder(FIELDS).map(({ name, kind }) => [name, canonicalText(kind, state[name])]))
    const key = String(state.id)
    return {
      key,
      json: text,
      texts,
      row,
      hash: hash.toString('hex'),
      bucket: bucketOf(hash, 24),
    }
  })
  const digest = digestOf(STATES.map((text) => rowHash(canonicalRow(secret, FIELDS, JSON.parse(text)))))
  return { secret, fields: FIELDS, rows, digest }
}

it('the vectors are those of docs/canonical-form.json', async () => {
  await expect(`${JSON.stringify(vectors(), undefined, 2)}\n`).toMatchFileSnapshot(path)
})

it('what differs in meaning differs, and what does not is one', () => {
  const texts = vectors().rows.map(({ texts }) => texts)
  const of = (key: string) => texts.find((one) => one.id === key)
  expect(new Set(texts.map((one) => JSON.stringify({ ...one, id: '' }))).size).toBe(texts.length)
  expect(of('nulls')).not.toMatchObject({ Name: of('empty')?.Name })
  expect(of('spelled 1')?.more).toBe('{"x": 1, "y": [100, 0, #7ff0000000000000]}')
  expect(of('spelled 2')?.more).toBe(of('spelled 1')?.more)
})

onEachPostgres('the golden vectors', (server) => {
  let crm: CapturedDatabase
  beforeAll(async () => {
    crm = await capturedDatabase(server)
    const columns = REPLICA.columns.map(({ column, type }) => `"${column}" ${type}${type === 'text' ? ' collate "C"' : ''}`)
    await crm.run(`create table golden (${columns.join(', ')}, comity_version bigint, primary key (id))`)
    await crm.run(
      `insert into comity.contracts (topic, kind, source, key_fields, description) values ('crm.golden', 'entity', 'published', '{id}', '{}')`,
    )
    for (const [i, text] of STATES.entries()) {
      const values = REPLICA.columns.map(({ field, type }) =>
        type === 'jsonb' ? `nullif($1::text::jsonb -> '${field}', 'null')` : columnFromWire(type, `($1::text::json ->> '${field}')`),
      )
      await crm.db.query(`insert into golden select ${values.join(', ')}, ${i}`, [text])
      await crm.db.query(`insert into comity.heads values ('crm.golden', $1::text, ${i + 1}, $2::text)`, [JSON.parse(text).id, text])
    }
  })
  afterAll(() => crm[Symbol.asyncDispose]())

  const own = ['crm.golden', JSON.stringify(FIELDS), null]
  const copy = JSON.stringify(replicaSource(REPLICA, FIELDS))
  it.each([
    ['a copy', '', '$1::text::jsonb', [copy], '$1::text::jsonb'],
    ['heads', 'own_', '$1::text, $2::text::jsonb, $3::text::jsonb', own, 'comity.audit_source($1::text, $2::text::jsonb, $3::text::jsonb)'],
  ] as const)('are met by %s', async (_, side, given, values, source) => {
    const { rows, digest } = vectors()
    const sorted = <Row extends { key: string }>(list: readonly Row[]) =>
      [...list].sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)))
    type Source = { key: string; texts: string[]; from: string; where: string; within: string }
    const [sql] = (await crm.db.query<{ sql: string }>(`select (${source})::text as sql`, values)).rows
    const { key, texts, from, where, within } = JSON.parse(sql?.sql as string) as Source
    const shown = await crm.db.query<{ key: string; texts: string }>(
      `select ${key} as key, json_build_array(${texts})::text as texts from ${from} where ${where} and ${within}`,
    )
    expect(sorted(shown.rows.map((one) => ({ key: one.key, texts: JSON.parse(one.texts) })))).toEqual(
      sorted(rows.map((one) => ({ key: one.key, texts: Object.values(one.texts) }))),
    )
    const $ = (n: number): string => `$${values.length + n}`
    const found = await crm.db.query<{ key: string }>(
      `select r.key, r.bucket, r.hash from comity.audit_${side}rows(${given}, ${$(1)}::text, null, null, 24, ${$(2)}::text::int[]) r`,
      [...values, secret, `{${rows.map(({ bucket }) => bucket)}}`],
    )
    expect(sorted(found.rows)).toEqual(sorted(rows.map(({ key, bucket, hash }) => ({ key, bucket, hash: hash.slice(0, 32) }))))
    // At each depth, and in slices of seven rows, the last of which is not full.
    for (const depth of [0, 3, 10, 18]) {
      const sums = new DigestSums()
      let slices = 0
      for (let after: string | null = null; ; slices++) {
        const [end]: { upto: string | null }[] = (
          await crm.db.query<{ upto: string | null }>(`select comity.audit_${side}upto(${given}, ${$(1)}::text::text[], 7) as upto`, [
            ...values,
            after,
          ])
        ).rows
        const upto: string | null = end?.upto ? arrayLiteral(JSON.parse(end.upto)) : null
        const digests = await crm.db.query<SlicedDigest>(
          `select d.* from comity.audit_${side}digests(${given}, ${$(1)}::text, ${$(2)}::text::text[], ${$(3)}::text::text[], ${depth}, null, null) d`,
          [...values, secret, after, upto],
        )
        sums.add(digests.rows)
        if (upto === null) break
        after = upto
      }
      expect(slices).toBe(Math.floor(rows.length / 7))
      const buckets = new Map<number, Buffer[]>()
      for (const { hash, bucket } of rows) {
        const at = bucket >>> (24 - depth)
        buckets.set(at, [...(buckets.get(at) ?? []), Buffer.from(hash, 'hex')])
      }
      expect(sums.all()).toEqual([...buckets].sort(([a], [b]) => a - b).map(([bucket, hashes]) => ({ bucket, ...digestOf(hashes) })))
      if (depth === 0) expect(sums.all()).toEqual([{ bucket: 0, ...digest }])
    }
  })

  it('are the same whatever encoding the client speaks', async () => {
    await crm.run(
      `insert into comity.contracts (topic, kind, source, key_fields, description) values ('crm.latin', 'entity', 'published', '{id}', '{}')`,
      `insert into comity.heads values ('crm.latin', 'x', 1, '{"id":"x","Name":"' || chr(233) || '"}')`,
    )
    const fields = [
      { name: 'id', kind: 'text' },
      { name: 'Name', kind: 'text' },
    ] as const
    const { rows } = await crm.db.session(async (session) => {
      await session.query(`set client_encoding = 'LATIN1'`)
      return session.query<SlicedDigest>(
        `select * from comity.audit_own_digests('crm.latin', $1::text::jsonb, null, $2::text, null, null, 0, null, null)`,
        [JSON.stringify(fields), secret],
      )
    })
    const sums = new DigestSums()
    sums.add(rows)
    expect(sums.all()).toEqual([{ bucket: 0, ...digestOf([rowHash(canonicalRow(secret, fields, { id: 'x', Name: 'é' }))]) }])
  })
})
