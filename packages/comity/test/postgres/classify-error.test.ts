import { describe, expect, test } from 'vitest'
import { classifyError, describeError, sqlStateOf } from '../../src/postgres/classify-error.ts'
import { CommitUnknown } from '../../src/postgres/errors.ts'

const sql = (code: string, message = 'm'): Error =>
  Object.assign(new TypeError(message), { code, severity: 'ERROR', detail: 'Key (email)=(a@b.c)' })

describe('classifyError', () => {
  test.each([
    ['08006', 'connection'],
    ['57P01', 'connection'],
    ['53300', 'connection'],
    ['40003', 'connection'],
    ['40001', 'retryable'],
    ['40P01', 'retryable'],
    ['55P03', 'retryable'],
    ['53100', 'retryable'],
    ['25006', 'retryable'],
    ['57014', 'timeout'],
    ['25P03', 'timeout'],
    ['25P02', 'aborted-transaction'],
    ['23505', 'other'],
    ['22P02', 'other'],
    ['XX000', 'other'],
  ])('%s is %s, also wrapped by Drizzle, Prisma and Sequelize', (code, kind) => {
    expect(classifyError(sql(code))).toBe(kind)
    expect(classifyError(Object.assign(new TypeError('Failed query: … params: a@b.c'), { cause: sql(code) }))).toBe(kind)
    const prisma = { code: 'P2010', meta: { driverAdapterError: { cause: { originalCode: code, originalMessage: 'm' } } } }
    expect(classifyError(prisma)).toBe(kind)
    expect(sqlStateOf(prisma)).toBe(code)
    expect(classifyError(Object.assign(new TypeError('m'), { name: 'SequelizeDatabaseError', original: sql(code) }))).toBe(kind)
  })

  test.each([
    [Object.assign(new TypeError('x'), { code: 'ECONNREFUSED' }), 'connection'],
    [Object.assign(new TypeError('x'), { code: 'EPIPE' }), 'connection'],
    [new AggregateError([Object.assign(new TypeError('x'), { code: 'ECONNREFUSED' })]), 'connection'],
    [new TypeError('Connection terminated unexpectedly'), 'connection'],
    [new TypeError('Client has encountered a connection error and is not queryable'), 'connection'],
    [new TypeError('BEGIN; - Connection terminated unexpectedly'), 'connection'],
    [new CommitUnknown({}), 'connection'],
    [{ code: 'P1017' }, 'connection'],
    [{ code: 'P2034' }, 'retryable'],
    [Object.assign(new TypeError('x'), { name: 'KnexTimeoutError' }), 'connection'],
    [Object.assign(new TypeError('x'), { name: 'QueryRunnerAlreadyReleasedError' }), 'connection'],
    [Object.assign(new TypeError('x'), { name: 'SequelizeConnectionAcquireTimeoutError' }), 'connection'],
    [new TypeError('theirs'), 'other'],
    [undefined, 'other'],
    ['text', 'other'],
  ])('%s is %s', (error, kind) => {
    expect(classifyError(error)).toBe(kind)
  })

  test('ends on causes that point back', () => {
    const error: { cause?: unknown } = {}
    error.cause = error
    expect(classifyError(error)).toBe('other')
  })
})

test('describeError tells the code and never DETAIL, parameters or quoted values', () => {
  const wrapped = Object.assign(new TypeError('Failed query: insert … params: a@b.c'), { cause: sql('23505', 'duplicate key') })
  expect(describeError(wrapped)).toBe('duplicate key (SQLSTATE 23505)')
  expect(describeError(sql('22P02', 'invalid input syntax for type integer: "a@b.c"'))).toBe(
    'invalid input syntax for type integer: (value hidden) (SQLSTATE 22P02)',
  )
  const byKnex = `insert into "people" ("email") values ('a@b.c - d') - duplicate key value violates unique constraint "people_pkey"`
  expect(describeError(sql('23505', byKnex))).toBe('duplicate key value violates unique constraint "people_pkey" (SQLSTATE 23505)')
  expect(describeError(sql('CM001', 'billing - no such topic'))).toBe('billing - no such topic (SQLSTATE CM001)')
  expect(describeError(new TypeError('plain'))).toBe('plain')
})
