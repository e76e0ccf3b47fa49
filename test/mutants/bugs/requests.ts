import { comity, type Mutant } from '../mutant.ts'

/** Between an asker and an owner. */
export const REQUESTS: readonly Mutant[] = [
  {
    name: 'a request that is decided as often as it comes',
    harm: 'a repetition runs its handler again: two outcomes, two effects',
    caughtBy: { test: 'packages/comity/test/request/requests.test.ts', title: 'the same request by another message' },
    edits: [
      {
        file: `${comity}/request/deciding.ts`,
        find: 'where r.asker = $1::text and r.id = $2::text) as outcome',
        replace: 'where r.asker = $1::text and r.id = $2::text and false) as outcome',
      },
    ],
  },
  {
    name: 'what is expected is not compared',
    harm: 'two teams that have seen the same state both change it: the first change is lost, and nobody hears of it (H15)',
    caughtBy: { test: 'test/request/killed.test.ts', title: 'whoever is killed, each request has one outcome' },
    edits: [
      { file: `${comity}/request/deciding.ts`, find: '      if (!matches) return', replace: '      if (!matches && state === key) return' },
    ],
  },
  {
    name: 'a rejection that keeps what its handler wrote',
    harm: 'the asker is told no, and half of it is done (H15)',
    caughtBy: { test: 'test/request/killed.test.ts', title: 'whoever is killed, each request has one outcome' },
    edits: [
      {
        file: `${comity}/request/deciding.ts`,
        find: 'if (rejected) await sql.query(UNDO)',
        replace: 'if (rejected && id === key) await sql.query(UNDO)',
      },
    ],
  },
  {
    name: 'a parked request that nobody ends',
    harm: 'a request whose deadline has passed, or that was withdrawn, waits for ever behind its failing handler: no outcome (H15)',
    caughtBy: { test: 'packages/comity/test/request/requests.test.ts', title: 'what waits because its handler fails ends by its deadline' },
    edits: [
      {
        file: `${comity}/request/requests.ts`,
        find: 'loops.push(teller, endingWaiting(',
        replace: 'loops.push(teller); void (endingWaiting(',
      },
    ],
  },
  {
    name: 'an asker that believes that somebody answers',
    harm: 'a misspelled owner, or one that was never provisioned: what is asked lies in a topic that nobody reads',
    caughtBy: { test: 'test/request/transports.test.ts', title: 'a request is answered, and only by whom it is asked of' },
    edits: [
      {
        file: `${comity}/admin/verify-asked.ts`,
        find: `(there ? ('answered' as const)`,
        replace: `(there || late ? ('answered' as const)`,
      },
    ],
  },
  {
    name: 'outcome handlers that know no pause of a tenant',
    harm: 'an operator has paused a tenant, and its effects go on',
    caughtBy: { test: 'packages/comity/test/request/outcome-handlers.test.ts', title: 'a paused handler, and a paused tenant' },
    edits: [{ file: `${comity}/request/handling-outcomes.ts`, find: `and p.tenant in ('', a.tenant))`, replace: `and p.tenant = '')` }],
  },
  {
    name: 'a request that is checked like an event',
    harm: 'a field that becomes required breaks whoever asks, and the check says that nobody is broken',
    caughtBy: { test: 'packages/comity/test/admin/request-changes.test.ts', title: 'optional becomes required' },
    edits: [
      {
        file: `${comity}/catalog/request-check.ts`,
        find: '...refusalsOf(asked.schema, next.schema)',
        replace: '...refusalsOf(next.schema, asked.schema)',
      },
    ],
  },
]
