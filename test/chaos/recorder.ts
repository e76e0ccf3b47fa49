import { closeSync, mkdirSync, openSync, readdirSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Operation } from 'comity/testing'

/** Milliseconds of CLOCK_MONOTONIC: the same for every process of this machine. */
export function monotonic(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** One process's part of the history: a line is in the kernel when `record` returns, so kill -9 loses none. */
export class Recorder {
  readonly process: string
  readonly #file: number

  constructor(folder: string, process: string) {
    mkdirSync(folder, { recursive: true })
    this.process = process
    this.#file = openSync(join(folder, `${process}.jsonl`), 'a')
  }

  record(operation: DistributiveOmit<Operation, 'process'>): void {
    writeSync(this.#file, `${JSON.stringify({ process: this.process, ...operation })}\n`)
  }

  close(): void {
    closeSync(this.#file)
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never

/** All operations of a run, file after file. */
export async function* readHistory(folder: string): AsyncIterable<Operation> {
  for (const name of readdirSync(folder)
    .filter((file) => file.endsWith('.jsonl'))
    .sort()) {
    const file = await open(join(folder, name))
    for await (const line of file.readLines()) {
      // A process that was killed may have left half of its last line.
      const operation = parse(line)
      if (operation !== undefined) yield operation
    }
  }
}

function parse(line: string): Operation | undefined {
  try {
    return JSON.parse(line) as Operation
  } catch {
    return undefined
  }
}
