import { describe, expect, test } from 'vitest'
import { TransactionControlRefused } from '../../src/postgres/errors.ts'
import { refuseTransactionControl } from '../../src/postgres/transaction-control.ts'

describe('refuses', () => {
  test.each([
    'commit',
    'COMMIT WORK',
    '  \n\tCommit;',
    'begin',
    'begin isolation level serializable',
    'start transaction',
    'end',
    'abort',
    'rollback',
    'rollback work',
    'rollback and chain',
    "rollback prepared 'x'",
    "prepare transaction 'x'",
    '-- why not\ncommit',
    '/* a /* nested */ b */ commit',
    "select 'x'; commit",
    "select E'it\\'s; '; commit",
    'select "a;b"; commit',
    'select $$ ; $$; commit',
    'select $tag$ $$ ; $tag$; commit',
    ';;commit',
    'create table t (begin int); commit',
    'create function f() returns int begin atomic select 1; end; commit',
    'create or replace procedure p() begin atomic select case when true then 1 end; end; commit',
  ])('%s', (text) => {
    expect(() => refuseTransactionControl(text)).toThrow(TransactionControlRefused)
  })
})

describe('lets through', () => {
  test.each([
    'select 1',
    'savepoint a',
    'release savepoint a',
    'rollback to a',
    'ROLLBACK TO SAVEPOINT a',
    'rollback work to savepoint a',
    'rollback transaction to a',
    "prepare plan as select 'commit'",
    'select case when a then 1 end from t',
    "insert into t values ('commit')",
    "insert into t values ('a''; commit; --')",
    "select E'\\'; commit; --'",
    'select "commit" from "begin"',
    'select $$; commit; $$',
    'select $a$; commit; $$; rollback $a$',
    'select 1 -- ; commit',
    'select 1 /* ; commit /* ; */ rollback */',
    'do $body$ begin perform 1; end $body$',
    'create function f() returns int begin atomic select 1; select 2; end',
    'create or replace function f() returns int language sql begin atomic select case when true then 1 else 2 end; end; select 3',
    'start_transaction',
    'select commit from begin',
    '',
  ])('%s', (text) => {
    expect(() => refuseTransactionControl(text)).not.toThrow()
  })

  test('a megabyte of text without being slow', () => {
    const text = `insert into t values ('commit ${"it''s; ".repeat(150_000)}')`
    const began = performance.now()
    refuseTransactionControl(text)
    expect(performance.now() - began).toBeLessThan(500)
  })
})
