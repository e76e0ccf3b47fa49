import { comity, type Mutant, migrations } from '../mutant.ts'

/** An entity that goes to another team. */
export const HAND_OVERS: readonly Mutant[] = [
  {
    name: 'an owner that goes on after its hand-over',
    harm: 'two teams publish one entity: a change of the old one overwrites, or is overwritten',
    caughtBy: { test: 'packages/comity/test/hand-over/hand-over.test.ts', title: 'an entity goes to another team' },
    edits: [
      {
        file: `${comity}/relay/handed-over.ts`,
        find: 'if (last?.next === undefined) return undefined',
        replace: 'if (last?.next !== id) return undefined',
      },
    ],
  },
  {
    name: 'a new owner with versions of its own',
    harm: 'its changes are older than what every copy holds: stale for ever',
    caughtBy: { test: 'packages/comity/test/hand-over/hand-over.test.ts', title: 'an entity goes to another team' },
    edits: [
      { file: `${migrations}/0022-hand-overs.sql`, find: '  perform comity.advance_versions(floor);\n', replace: '' },
      { file: `${migrations}/0022-hand-overs.sql`, find: 'greatest(0, floor - (select', replace: 'greatest(0, 0 * floor - (select' },
    ],
  },
  {
    name: 'an entity that is taken before all of it has arrived',
    harm: 'the last changes of the old owner are missing in the table that is the truth from now on',
    caughtBy: { test: 'packages/comity/test/hand-over/refusals.test.ts', title: 'before it was given' },
    edits: [{ file: `${migrations}/0022-hand-overs.sql`, find: 'if passed < buckets then', replace: 'if passed < 0 then' }],
  },
  {
    name: 'a hand-over that does not hold back what comes after it',
    harm: 'messages of the new owner are looked at before anybody knows it, and parked as forged',
    caughtBy: { test: 'packages/comity/test/hand-over/owners.test.ts', title: 'stands between what was before it' },
    edits: [{ file: `${comity}/transport/marks.ts`, find: 'left.findIndex(isHandOver) + 1 || left.length', replace: 'left.length' }],
  },
  {
    name: 'a former owner that fills copies',
    harm: 'rows of its old table, under new versions, overwrite what the owner of today has said',
    caughtBy: { test: 'packages/comity/test/hand-over/refusals.test.ts', title: 'fills no copy' },
    edits: [{ file: `${comity}/backfill/published-entity.ts`, find: 'if (next != null) return', replace: 'if (next === from) return' }],
  },
  {
    name: 'a former owner that believes the newest hand-over only',
    harm: 'who had an entity first publishes its old table again when it hears that it was handed on',
    caughtBy: { test: 'packages/comity/test/hand-over/hand-over.test.ts', title: 'handed on: who had it first' },
    edits: [
      {
        file: `${comity}/relay/handed-over.ts`,
        find: 'where h.owner = d.team or h.next <> d.team or h.taken_version is not null order by h.version',
        replace:
          'where h.owner = d.team and not exists (select from comity.hand_overs n where n.topic = h.topic and n.version > h.version) order by h.version',
      },
    ],
  },
  {
    name: 'a copy that is not whole becomes the truth',
    harm: 'rows that a cancelled filling has left out are gone for everybody',
    caughtBy: { test: 'packages/comity/test/hand-over/refusals.test.ts', title: 'with a copy that is not whole' },
    edits: [{ file: `${migrations}/0022-hand-overs.sql`, find: "if filled <> 'ready' then", replace: "if filled = 'never' then" }],
  },
]
