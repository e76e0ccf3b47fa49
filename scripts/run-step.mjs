import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const PLAIN_EVERY_MS = 5_000
const TERMINAL_EVERY_MS = 200

/**
 * Runs a command that may take long, showing on standard error (standard output belongs to the program's result) what it does and for how
 * long: one line that counts on a terminal, a plain line every few seconds elsewhere. Its output is shown only when it fails.
 */
export async function runStep(title, command, args, { cwd, env = process.env, watch = () => '' } = {}) {
  const started = performance.now()
  const seconds = () => (performance.now() - started) / 1000
  const folder = mkdtempSync(join(tmpdir(), 'comity-step-'))
  const file = join(folder, 'output')
  const output = openSync(file, 'w')
  const tick = setInterval(() => report(`${title} … ${seconds().toFixed(0)} s ${watch()}`.trimEnd(), false), tickMs())
  if (!process.stderr.isTTY) report(`${title} …`, false)
  try {
    const code = await exitCode(spawn(command, args, { cwd, env, stdio: ['ignore', output, output] }))
    const text = readFileSync(file, 'utf8')
    report(`${title}: ${code === 0 ? '' : `failed (${code}) after `}${seconds().toFixed(1)} s`, true)
    return { title, code, seconds: seconds(), output: text.trim() }
  } finally {
    clearInterval(tick)
    closeSync(output)
    rmSync(folder, { recursive: true })
  }
}

/** Waits for a child; a signal counts as 128 and its number would, and a command that is missing as 127, as in a shell. */
export function exitCode(child) {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`${error.message}\n`)
      resolve(127)
    })
    child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : signal === 'SIGTERM' ? 143 : 137)))
  })
}

function tickMs() {
  return process.stderr.isTTY ? TERMINAL_EVERY_MS : PLAIN_EVERY_MS
}

function report(line, last) {
  if (!process.stderr.isTTY) process.stderr.write(`${line}\n`)
  else process.stderr.write(`\r\u001b[2K${line.slice(0, (process.stderr.columns || 80) - 1)}${last ? '\n' : ''}`)
}
