import { comity, type Mutant, migrations } from '../mutant.ts'

/** Copies, and whether they are true: audits, repairs, lifts. */
export const COPIES: readonly Mutant[] = [
  {
    name: 'XOR-CRC audit',
    harm: 'what is in a bucket twice, or is changed alike on two rows, is as if it were not there',
    caughtBy: { test: 'packages/comity/test/audit/golden-vectors.test.ts', title: 'are met by' },
    edits: [
      {
        file: `${migrations}/0014-audit.sql`,
        find: 'sum(%s)::text, sum(%s)::text from',
        replace: 'bit_xor(%s)::text, bit_xor(%s)::text from',
      },
    ],
  },
  {
    name: 'an audit to which NULL is empty',
    harm: 'a copy whose empty texts have become NULL is said to be true',
    caughtBy: { test: 'packages/comity/test/audit/audit.test.ts', title: 'corruption of eight kinds' },
    edits: [
      {
        file: `${migrations}/0014-audit.sql`,
        find: 'coalesce(%s, $3)',
        replace: `coalesce(%s, '''')`,
      },
    ],
  },
  {
    name: 'an audit that draws and does not wait',
    harm: 'a row that was written before, and commits later, is told as it was: a false alarm',
    caughtBy: { test: 'packages/comity/test/audit/settling.test.ts', title: 'the owner waits for whoever drew' },
    edits: [
      {
        file: `${comity}/outbox/consistent-read.ts`,
        find: 'if (await allEnded(database, signal, clock, onWaiting)) return version',
        replace: 'if (version > 0 || (await allEnded(database, signal, clock, onWaiting))) return version',
      },
    ],
  },
  {
    name: 'an audit by snapshot only',
    harm: 'a row newer than the drawn version is compared with an older one: a false alarm',
    caughtBy: { test: 'packages/comity/test/audit/settling.test.ts', title: 'a key with a change above' },
    edits: [{ file: `${migrations}/0014-audit.sql`, find: 'bool_or(o.id > $6) as moving', replace: 'false as moving' }],
  },
  {
    name: 'an audit that does not let the copy catch up',
    harm: 'whatever is on its way is called drift',
    caughtBy: { test: 'packages/comity/test/audit/settling.test.ts', title: 'what has not arrived here yet' },
    edits: [
      {
        file: `${comity}/audit/settle-suspects.ts`,
        find: '    await passed(Math.max(...asked.map(({ at }) => at)))\n',
        replace: '    if (rounds < 0) await passed(Math.max(...asked.map(({ at }) => at)))\n',
      },
    ],
  },
  {
    name: 'an audit that compares what is newer than what was read',
    harm: 'a row that was written while it was looked at is called drift',
    caughtBy: { test: 'packages/comity/test/audit/classify.test.ts', title: 'newer than what was read there' },
    edits: [
      { file: `${comity}/audit/classify.ts`, find: '  if (ours.version > at) {', replace: '  if (ours.version > at && lost.length < 0) {' },
    ],
  },
  {
    name: 'a repair of what waits',
    harm: 'the messages of a line are overtaken by a state from after them',
    caughtBy: { test: 'packages/comity/test/audit/audit.test.ts', title: 'what is withheld at the owner, and what waits' },
    edits: [{ file: `${comity}/audit/classify.ts`, find: `  if (ours.waiting !== undefined) return 'waiting'\n`, replace: '' }],
  },
  {
    name: 'a repair that believes every version',
    harm: 'a row with a version that no history has refuses its repair, and every later change',
    caughtBy: { test: 'packages/comity/test/audit/audit.test.ts', title: 'an entity that is published by code' },
    edits: [{ file: `${comity}/audit/repair-keys.ts`, find: '  if (impossible.length > 0) {', replace: '  if (impossible.length < 0) {' }],
  },
  {
    name: 'an audit of whatever is asked',
    harm: 'a team learns of fields that it was not granted',
    caughtBy: { test: 'packages/comity/test/audit/granted.test.ts', title: 'an audit of a copy with an audience' },
    edits: [
      {
        file: `${comity}/audit/answer-audit.ts`,
        find: 'fields: names, subset, versions }',
        replace: 'fields: names.slice(0, 1), subset, versions }',
      },
    ],
  },
  {
    name: 'a copy that is told only what it keeps',
    harm: 'rows of an older version of the contract are refused, though the team can lift them',
    caughtBy: { test: 'packages/comity/test/lifts/copies.test.ts', title: 'a backfill lifts the rows of its chunks' },
    edits: [
      {
        file: `${comity}/backfill/published-entity.ts`,
        find: '  if (older.length === 0) return undefined\n',
        replace: '  if (older.length >= 0) return undefined\n',
      },
    ],
  },
  {
    name: 'a lift gives what was not granted',
    harm: 'a team learns of fields that it was not granted, by saying that it lifts them',
    caughtBy: { test: 'packages/comity/test/lifts/copies.test.ts', title: 'who says that it lifts a field is not granted it' },
    edits: [
      {
        file: `${comity}/backfill/published-entity.ts`,
        find: 'return [...all].filter((field) => granted.includes(field) && !base.includes(field))',
        replace: 'return [...all].filter((field) => contract.fields.includes(field) && !base.includes(field))',
      },
      {
        file: `${comity}/backfill/published-entity.ts`,
        find: 'if (other !== undefined) return refuse(',
        replace: 'if (other !== undefined && liftable === undefined) return refuse(',
      },
    ],
  },
  {
    name: 'an audit to which another version is drift',
    harm: 'rows that are only lifted are named as drift, at each audit again',
    caughtBy: { test: 'packages/comity/test/lifts/copies.test.ts', title: 'an audit with an owner that' },
    edits: [
      {
        file: `${comity}/audit/settle-suspects.ts`,
        find: 'if (said.length === 0) return held',
        replace: 'if (said.length >= 0) return held',
      },
    ],
  },
  {
    name: 'a repair that lifts nothing',
    harm: 'what an owner says under an older version is put into the copy as it is',
    caughtBy: { test: 'packages/comity/test/lifts/copies.test.ts', title: 'an audit with an owner that' },
    edits: [
      {
        file: `${comity}/audit/repair-keys.ts`,
        find: 'const states = [...lifted].flatMap(([key, state]) => (state ? [{ key, state }] : []))',
        replace: 'const states = said.flatMap(({ key, state }) => (state ? [{ key, state }] : []))',
      },
    ],
  },
  {
    name: 'states that are read after their hashes',
    harm: 'a row that is written meanwhile is called drift',
    caughtBy: { test: 'packages/comity/test/lifts/copies.test.ts', title: 'a row that is written while its owner answers' },
    edits: [
      {
        file: `${comity}/audit/answer-audit.ts`,
        find: `        const states = await saidStates(database, entity, what.keys, published, condition)
        const held = await heldKeys(database, [...source, secret, arrayLiteral(what.keys), String(version)])
`,
        replace: `        const held = await heldKeys(database, [...source, secret, arrayLiteral(what.keys), String(version)])
        const states = await saidStates(database, entity, what.keys, published, condition)
`,
      },
    ],
  },
  {
    name: 'parts of two answers are one answer',
    harm: 'what an audit compares was never there at one time',
    caughtBy: { test: 'packages/comity/test/audit/questions.test.ts', title: 'a question that is not answered is asked again' },
    edits: [
      {
        file: `${comity}/audit/questions.ts`,
        find: `select a.answer::text as answer, array_to_json(array_agg(a.told order by a.part))::text as told
  from comity.audit_answers a where a.question = $1::text::uuid group by a.answer, a.parts having count(*) = a.parts order by min(a.at)`,
        replace: `select min(a.answer::text) as answer, array_to_json(array_agg(a.told order by a.part))::text as told
  from comity.audit_answers a where a.question = $1::text::uuid group by a.parts having count(*) >= a.parts order by min(a.at)`,
      },
    ],
  },
]
