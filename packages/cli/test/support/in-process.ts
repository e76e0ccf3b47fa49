import { vi } from 'vitest'
import { main } from '../../src/main.ts'
import type { Ended } from './comity.ts'

/**
 * Runs a command in this process: a hundred of them cost what one process start does. Colours are off, and nothing is a terminal.
 * Configurations load the compiled library, as users' do: build it first.
 */
export async function inProcess(...args: readonly string[]): Promise<Pick<Ended, 'code' | 'stdout' | 'stderr'>> {
  const written: Record<'out' | 'err', string> = { out: '', err: '' }
  const into = (to: 'out' | 'err', end: string) => (text: unknown) => {
    written[to] += `${text}${end}`
    return true
  }
  const spies = [
    vi.spyOn(console, 'log').mockImplementation(into('out', '\n')),
    vi.spyOn(console, 'error').mockImplementation(into('err', '\n')),
    vi.spyOn(process.stdout, 'write').mockImplementation(into('out', '')),
    vi.spyOn(process.stderr, 'write').mockImplementation(into('err', '')),
  ]
  try {
    const code = await main(args)
    return { code, stdout: written.out, stderr: written.err }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}
