/**
 * Tests the history checker, and the tests' reach: `npm run mutants [-- --only 'no inbox,no tombstones'] [--seeds 50] [--json]`. Each seeded bug is
 * put into a copy of the sources, which then runs its stage with one seed after the other, until the checker says that the run is invalid.
 * Where a bug breaks a promise that no history shows, a test has to fail. First each stage has to be valid, and each test to pass, without a bug.
 * Exits 0 only if every bug was caught.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Judgement } from 'comity/testing'
import { SERVERS_VARIABLE, startPostgresServers } from '../support/postgres-servers.ts'
import { MUTANTS } from './mutants.ts'
import { MutatedTree } from './mutated-tree.ts'
import type { StageName } from './stages.ts'

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seeds: { type: 'string', default: '50' },
    controls: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
})
const named = values.only?.split(',').map((name) => name.trim())
const strange = named?.filter((name) => !MUTANTS.some((mutant) => mutant.name === name)) ?? []
if (strange.length > 0) {
  console.error(`mutants: there is none called ${strange.join(', ')}; there are:\n${MUTANTS.map(({ name }) => `  ${name}`).join('\n')}`)
  process.exit(2)
}
const chosen = MUTANTS.filter(({ name }) => named?.includes(name) ?? true)
/** A run that takes longer has hung: which a bug may do, and which catches nothing. */
const PATIENCE = 120_000

const started = performance.now()
const say = (text: string): void => console.error(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${text}`)
const servers = await startPostgresServers()
process.env[SERVERS_VARIABLE] = servers.address

const controls: { readonly stage: string; readonly valid: number; readonly runs: number }[] = []
{
  using sound = MutatedTree.make([])
  for (const { test, title } of new Map(
    chosen.flatMap(({ caughtBy }) => ('test' in caughtBy ? [[caughtBy.title, caughtBy]] : [])),
  ).values()) {
    const valid = (await passes(sound, test, title)) ? 1 : 0
    controls.push({ stage: title, valid, runs: 1 })
    say(`"${title}" without a bug: ${valid === 1 ? 'passes' : 'FAILS'}`)
  }
  for (const stage of new Set(chosen.flatMap(({ caughtBy }) => ('stage' in caughtBy ? [caughtBy.stage] : [])))) {
    let valid = 0
    for (let seed = 1; seed <= Number(values.controls); seed++) {
      const judgement = await runStage(sound, stage, seed)
      if (judgement?.valid === true) valid++
      else
        say(
          `WITHOUT A BUG  ${stage}, seed ${seed}: ${JSON.stringify(judgement?.counts.violations ?? 'it did not end')} ${judgement?.reason ?? judgement?.violations[0]?.detail ?? ''}`,
        )
    }
    controls.push({ stage, valid, runs: Number(values.controls) })
    say(`${stage} without a bug: ${valid} of ${values.controls} valid`)
  }
}

const results: { readonly name: string; readonly caughtBy: number | undefined; readonly classes: readonly string[] }[] = []
for (const { name, caughtBy: whom, edits, harm } of chosen) {
  using tree = MutatedTree.make(edits)
  if ('test' in whom) {
    const survived = await passes(tree, whom.test, whom.title)
    results.push({ name, caughtBy: survived ? undefined : 1, classes: survived ? [] : [whom.title] })
    say(survived ? `SURVIVED  ${name} ("${whom.title}"): ${harm}` : `caught by a test  ${name}: "${whom.title}"`)
    continue
  }
  const { stage } = whom
  let caughtBy: number | undefined
  let classes: readonly string[] = []
  for (let seed = 1; seed <= Number(values.seeds) && caughtBy === undefined; seed++) {
    const judgement = await runStage(tree, stage, seed)
    if (judgement?.valid !== false) continue
    // That a run did not drain says nothing about what is wrong with it.
    classes = Object.keys(judgement.counts.violations).filter((violation) => violation !== 'H22')
    if (classes.length > 0) caughtBy = seed
  }
  results.push({ name, caughtBy, classes })
  say(
    caughtBy === undefined
      ? `SURVIVED  ${name} (${stage}, ${values.seeds} seeds): ${harm}`
      : `caught by seed ${caughtBy}  ${name}: ${classes.join(', ')}`,
  )
}
await servers.close()

const survived = results.filter(({ caughtBy }) => caughtBy === undefined)
const ok = survived.length === 0 && controls.every(({ valid, runs }) => valid === runs)
if (values.json)
  console.log(JSON.stringify({ name: 'mutants', ok, seconds: Math.round((performance.now() - started) / 1000), controls, results }))
say(`${results.length - survived.length} of ${results.length} caught`)
process.exit(ok ? 0 : 1)

function runStage(tree: MutatedTree, stage: StageName, seed: number): Promise<Judgement | undefined> {
  const hooks = join(tree.folder, 'scripts/typescript.mjs')
  const child = spawn(process.execPath, ['--import', hooks, join(tree.folder, 'test/mutants/run-stage.ts'), stage, String(seed)], {
    stdio: ['ignore', 'pipe', process.env.COMITY_VERBOSE === '1' ? 'inherit' : 'ignore'],
    timeout: PATIENCE,
    killSignal: 'SIGKILL',
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  return new Promise((resolve) => {
    child.once('close', () => {
      const line = output.trim().split('\n').at(-1) ?? ''
      resolve(line.startsWith('{') ? (JSON.parse(line) as Judgement) : undefined)
    })
  })
}

/** Whether the test passes there; one that hangs does not. */
async function passes(tree: MutatedTree, test: string, title: string): Promise<boolean> {
  const child = spawn(
    process.execPath,
    [join(tree.folder, 'node_modules/vitest/vitest.mjs'), 'run', test, '-t', title, '--testTimeout=100000'],
    {
      cwd: tree.folder,
      stdio: ['ignore', 'ignore', process.env.COMITY_VERBOSE === '1' ? 'inherit' : 'ignore'],
      timeout: PATIENCE,
      killSignal: 'SIGKILL',
    },
  )
  return (await new Promise<number | null>((resolve) => child.once('close', resolve))) === 0
}
