/** One measured run of one benchmark. */
export interface Round {
  /** Events, and the seconds they took. */
  readonly events: number
  readonly seconds: number
  /** Processor time of our own Node processes, in seconds. */
  readonly cpuSeconds: number
  /** Rate of the limit or peer that this is compared with, in the same run, in events per second. */
  readonly limitRate: number
}

/** The line that `--json` prints: rates in events per second (medians of the rounds), the limit's rate, and their ratio. */
export interface Result {
  readonly name: string
  readonly rate: number
  readonly unit: 'events/s'
  readonly cpuMicros: number
  readonly limit: number
  readonly ratio: number
  readonly rounds: number
  readonly min: number
  readonly max: number
}

export function summarise(name: string, rounds: readonly Round[]): Result {
  const rates = rounds.map((round) => round.events / round.seconds)
  return {
    name,
    rate: Math.round(median(rates)),
    unit: 'events/s',
    cpuMicros: Number(median(rounds.map((round) => (round.cpuSeconds * 1e6) / round.events)).toFixed(1)),
    limit: Math.round(median(rounds.map((round) => round.limitRate))),
    ratio: Number(median(rounds.map((round, i) => (rates[i] as number) / round.limitRate)).toFixed(2)),
    rounds: rounds.length,
    min: Math.round(Math.min(...rates)),
    max: Math.round(Math.max(...rates)),
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

/** Seconds and processor seconds of this process while `work` runs. */
export async function timed(work: () => Promise<void>): Promise<{ readonly seconds: number; readonly cpuSeconds: number }> {
  const cpu = process.cpuUsage()
  const start = performance.now()
  await work()
  const used = process.cpuUsage(cpu)
  return { seconds: (performance.now() - start) / 1000, cpuSeconds: (used.user + used.system) / 1e6 }
}
