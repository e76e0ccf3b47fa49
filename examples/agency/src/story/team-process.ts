import { type ChildProcess, fork } from 'node:child_process'
import { CommandFailed, ProcessEnded } from './errors.ts'
import type { Answer } from './run-service.ts'

const SAID_BYTES = 2_000
const STOP_WITHIN = 15_000

/** One life of a team's operating-system process, as the director sees it. */
export interface TeamProcess {
  readonly pid: number
  /** Resolves when the team has started. */
  readonly ready: Promise<void>
  /** Rejects when the process ends without having been asked to. */
  readonly lost: Promise<never>
  ask(command: string, given: unknown): Promise<unknown>
  /** `kill -9` */
  kill(): Promise<void>
  /** SIGTERM; `kill -9` if that takes too long. */
  stop(): Promise<void>
}

/** Forks `<team>/service`; `env` is all that it gets beside PATH and the like. */
export function startTeamProcess(team: string, env: Readonly<Record<string, string>>): TeamProcess {
  // main.ts under a loader of tests, main.js when it was built
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
  const child = fork(new URL(`../${team}/service${extension}`, import.meta.url), [], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  let said = ''
  for (const output of [child.stdout, child.stderr]) {
    output?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-SAID_BYTES)
    })
  }
  let asked = false
  let last = 0
  const answers = new Map<number, (answer: Answer) => void>()
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) => resolve(signal ?? `code ${code}`)) // after its output
  })
  const lost = ended.then((how) => {
    if (asked) return new Promise<never>(() => undefined)
    throw new ProcessEnded({ team, how, said: said === '' ? '' : `, after it had said:\n${said.trimEnd()}` })
  })
  lost.catch(() => undefined)
  child.on('message', (answer: Answer) => {
    answers.get(answer.id)?.(answer)
    answers.delete(answer.id)
  })
  const answered = (id: number): Promise<Answer> => Promise.race([new Promise<Answer>((resolve) => answers.set(id, resolve)), lost])
  const ready = answered(0).then(() => undefined)
  ready.catch(() => undefined)

  async function end(signal: NodeJS.Signals): Promise<void> {
    asked = true
    if (isAlive(child)) child.kill(signal)
    const hurry = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN)
    await ended
    clearTimeout(hurry)
  }

  return {
    pid: child.pid ?? 0,
    ready,
    lost,
    async ask(command, given) {
      const id = ++last
      const answer = answered(id)
      child.send({ id, command, given })
      const { result, error } = await answer
      if (error !== undefined) throw new CommandFailed({ team, command, said: error })
      return result
    },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  }
}

function isAlive(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}
