import pc from 'picocolors'
import { type Logger, pino } from 'pino'

export const LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type Level = (typeof LEVELS)[number]

/** JSON lines for machines, or one readable line each for people. */
export function createLog(options: { readonly level: Level; readonly readable: boolean }): Logger {
  const settings = { level: options.level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"`, formatters: { level } }
  // Written at once: a log that is buffered when the process is killed is no log.
  return options.readable ? pino(settings, { write: writeReadable }) : pino(settings, pino.destination({ fd: 1, sync: true }))
}

function level(label: string): object {
  return { level: label }
}

function writeReadable(line: string): void {
  process.stdout.write(`${readable(JSON.parse(line) as Record<string, unknown>)}\n`)
}

/** `12:00:01 crm        leading: relaying from the checkpoint  term=3 checkpoint=0` */
function readable({ level, time, msg, team, ...fields }: Record<string, unknown>): string {
  const colour = level === 'error' ? pc.red : level === 'warn' ? pc.yellow : (text: string): string => text
  const rest = Object.entries(fields)
    .map(([name, value]) => pc.dim(`${name}=`) + pc.dim(typeof value === 'string' ? value : JSON.stringify(value)))
    .join(' ')
  return [pc.dim(String(time).slice(11, 19)), pc.bold(String(team ?? '').padEnd(10)), colour(String(msg)), rest].join(' ').trimEnd()
}
