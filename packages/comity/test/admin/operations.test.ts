import { randomUUID } from 'node:crypto'
import { memoryBus, type Queryable, type Team, team } from 'comity'
import { listOperations, type OperationRequest, operate } from 'comity/admin'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase, onNewestPostgres } from '../../../../test/support/postgres.ts'

onNewestPostgres('an operation', () => {
  let crm: Team<Queryable>
  beforeAll(async () => {
    crm = team('crm', { database: (await freshDatabase({ migrated: true })).url, transport: memoryBus().connect(), allowUnsafe: true })
    await crm.migrate()
  })
  afterAll(() => crm.stop())

  const request = (overrides: Partial<OperationRequest> = {}): OperationRequest => ({
    ...{ id: randomUUID(), kind: 'ping', arguments: {}, author: 'ann', reason: 'a test', origin: 'cli' as const },
    ...overrides,
  })
  const run = (given: OperationRequest) => operate(crm.environment, crm.declaration, given)

  test('is recorded with its outcome, and listed with the newest first', async () => {
    const [first, second] = [request(), request({ kind: 'status', origin: 'library' })]
    const done = await run(first)
    expect(done).toMatchObject({ ...first, outcome: { at: expect.any(String) }, error: null })
    const other = await run(second)
    expect(await listOperations(crm.environment)).toEqual([other, done])
    expect(await listOperations(crm.environment, { kind: 'ping' })).toEqual([done])
    expect(await listOperations(crm.environment, { limit: 1 })).toEqual([other])
  })

  test('that is asked for several times at once is done once', async () => {
    const one = request()
    const [first, ...others] = await Promise.all(Array.from({ length: 5 }, () => run(one)))
    expect(others).toEqual([first, first, first, first])
    expect((await listOperations(crm.environment)).filter(({ id }) => id === one.id)).toEqual([first])
  })

  test('that failed is recorded with its error, once and for all', async () => {
    const one = request({ kind: 'statsu' })
    const failed = await run(one)
    expect(failed).toMatchObject({
      outcome: null,
      error: { code: 'COMITY_OPERATION_UNKNOWN', message: expect.stringContaining('did you mean "status"?') },
    })
    expect(await run({ ...one, kind: 'status' })).toEqual(failed)
  })

  test('whose work fails in the database is rolled back, and its row is not', async () => {
    await crm.environment.database.query('alter table comity.checkpoint rename to away')
    const failed = await run(request({ kind: 'status' }))
    await crm.environment.database.query('alter table comity.away rename to checkpoint')
    expect(failed.error).toMatchObject({ code: 'COMITY_OPERATION_FAILED', message: expect.stringContaining('42P01') })
    expect((await listOperations(crm.environment, { limit: 1 }))[0]).toEqual(failed)
  })

  test.each([{ author: '' }, { reason: '  ' }])('without author or reason is refused, and not recorded: %o', async (missing) => {
    const one = request(missing)
    await expect(run(one)).rejects.toMatchObject({ code: 'COMITY_OPERATION_UNEXPLAINED' })
    expect((await listOperations(crm.environment)).some(({ id }) => id === one.id)).toBe(false)
  })
})
