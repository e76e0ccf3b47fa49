import { expect, test } from 'vitest'
import { sourcesOf, sourceText } from './errors-page.ts'
import { literalsOf } from './literals-of.ts'
import { codeIn, readPage, rowsOf, sectionOf } from './page-tables.ts'

const page = readPage('docs/message-life.md')
const [diagram] = /```text\n[\s\S]*?```/.exec(page) as unknown as [string]

const metrics = new Set(rowsOf(sectionOf(readPage('docs/telemetry.md'), 'Metrics')).flatMap(({ metric }) => codeIn(metric as string)))

const named = codeIn(page.replace(diagram, ''))

/** The first column of the table below a heading. */
function statesUnder(heading: string): readonly string[] {
  return rowsOf(sectionOf(page, heading)).flatMap((row) => codeIn(Object.values(row)[0] as string))
}

test.each([
  ['How a message ends', 'comity/src/subscription/message.ts', 'Outcome'],
  ['In the line of its key', 'comity/src/subscription/waiting-line.ts', 'WaitingReason'],
  ['What a failed attempt means', 'comity/src/subscription/failure.ts', 'Failure'],
  ['A job over many lines', 'comity/src/admin/jobs/job.ts', 'Job.state'],
])('"%s" lists what %s calls %s, and nothing else', (heading, file, type) => {
  expect([...statesUnder(heading)].sort()).toEqual([...literalsOf(file, type)].sort())
})

test('what becomes of a withheld change is what the relay writes', () => {
  const written = [...sourceText('comity/src/relay/withholding.ts').matchAll(/(?:resolution =|then|else) '(\w+)/g)].map(([, word]) => word)
  const [, table] = sectionOf(page, 'At the owner').split('`comity.withheld.resolution`') as [string, string]
  expect(
    rowsOf(table)
      .flatMap(({ resolution }) => codeIn(resolution as string))
      .sort(),
  ).toEqual([...new Set(written)].sort())
})

test('what an operator can do to lines is what jobs and operations do', () => {
  const acts = [...literalsOf('comity/src/admin/jobs/job.ts', 'JobKind'), 'edit']
  const named = codeIn(sectionOf(page, 'In the line of its key')).flatMap((code) => /^comity dead-letters (\w+)$/.exec(code)?.[1] ?? [])
  expect([...new Set(named)].sort()).toEqual([...acts].sort())
})

test('the diagram has every state, and every way out of a line', () => {
  const states = ['At the owner', 'At the broker', "In a consumer's process", 'In the line of its key', 'How a message ends']
  for (const state of states.flatMap(statesUnder)) expect(diagram).toMatch(new RegExp(`\\b${state}\\b`))
  for (const act of ['superseded', 'later', 'retry', 'resume', 'edit', 'skip', 'discard', 'purge', 'withheld retry', 'cancelScheduled'])
    expect(diagram).toContain(act)
})

test('every table that is named exists', () => {
  const created = sourcesOf(/\.sql$/).flatMap((file) =>
    [...sourceText(file).matchAll(/create table (comity\.\w+)/g)].map(([, table]) => table as string),
  )
  // Withheld changes are a table and a metric.
  const tables = named.filter((code) => /^comity\.[a-z_]+$/.test(code))
  expect(tables.length).toBeGreaterThan(10)
  for (const table of tables) expect(created).toContain(table)
})

test('every metric that is named exists', () => {
  const dotted = named.filter((code) => /^(comity|messaging)(\.\w+){2}/.test(code) && code !== 'comity.withheld.resolution')
  expect(dotted.length).toBeGreaterThan(5)
  for (const metric of dotted) expect([...metrics]).toContain(metric)
})
