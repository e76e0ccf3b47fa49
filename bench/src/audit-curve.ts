import { writeFileSync } from 'node:fs'
import type { AuditResult } from './audit.ts'

/** Rows of the curve; the last only where it is asked for. */
export const CURVE: readonly number[] = [10_000, 100_000, 1_000_000]
export const LONG_CURVE: readonly number[] = [...CURVE, 5_000_000]

/** As docs/performance.md has it. */
export function curveTable(results: readonly AuditResult[]): string {
  const lines = results.map(({ rows, owner, copy, subset, yardstick, equal, repaired }) => {
    const cells = [
      rows.toLocaleString('en'),
      `${owner.cpuSeconds} s`,
      `${copy.cpuSeconds} s`,
      `${subset.cpuSeconds} s`,
      `${yardstick.cpuSeconds} s`,
      equal ? `${equal.seconds} s` : '–',
      equal ? `${(equal.bytes / 1000).toFixed(0)} KB` : '–',
      repaired ? `${repaired.seconds} s, ${(repaired.bytes / 1000).toFixed(0)} KB` : '–',
    ]
    return `| ${cells.join(' | ')} |`
  })
  return [
    '| rows | owner’s digests | copy’s digests | owner’s of half the rows | one SHA-256 a row alone | equal: all of it | exchanged | 100 rows corrupted: found and repaired |',
    '|---|---|---|---|---|---|---|---|',
    ...lines,
  ].join('\n')
}

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [640, 360, 70, 300, 30, 610]

/** Rows and seconds of processor time, both by powers of ten: what grows as the rows do is a straight line of this slope. */
export function curvePicture(results: readonly AuditResult[]): string {
  const xs = results.map(({ rows }) => Math.log10(rows))
  const ys = results.flatMap(({ owner, copy }) => [owner.cpuSeconds, copy.cpuSeconds]).map((seconds) => Math.log10(Math.max(seconds, 0.01)))
  const [x0, x1] = [Math.floor(Math.min(...xs)), Math.ceil(Math.max(...xs))]
  const [y0, y1] = [Math.floor(Math.min(...ys)), Math.ceil(Math.max(...ys))]
  const x = (rows: number): number => LEFT + ((Math.log10(rows) - x0) / (x1 - x0)) * (RIGHT - LEFT)
  const y = (seconds: number): number => BOTTOM - ((Math.log10(Math.max(seconds, 0.01)) - y0) / (y1 - y0)) * (BOTTOM - TOP)
  const line = (name: string, colour: string, secondsOf: (result: AuditResult) => number, at: number): string => {
    const points = results.map((result) => `${x(result.rows).toFixed(1)},${y(secondsOf(result)).toFixed(1)}`)
    return [
      `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.join(' ')}"/>`,
      ...points.map((point) => `<circle r="3.5" fill="${colour}" cx="${point.split(',')[0]}" cy="${point.split(',')[1]}"/>`),
      `<rect x="${LEFT + 14}" y="${TOP + at}" width="14" height="4" fill="${colour}"/><text x="${LEFT + 34}" y="${TOP + at + 7}">${name}</text>`,
    ].join('\n')
  }
  const ticks = (from: number, to: number): readonly number[] => Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i))
  const grid = [
    ...ticks(x0, x1).map(
      (rows) =>
        `<line x1="${x(rows)}" x2="${x(rows)}" y1="${TOP}" y2="${BOTTOM}" stroke="#8884"/><text x="${x(rows)}" y="${BOTTOM + 18}" text-anchor="middle">${rows.toLocaleString('en')}</text>`,
    ),
    ...ticks(y0, y1).map(
      (seconds) =>
        `<line x1="${LEFT}" x2="${RIGHT}" y1="${y(seconds)}" y2="${y(seconds)}" stroke="#8884"/><text x="${LEFT - 8}" y="${y(seconds) + 4}" text-anchor="end">${seconds} s</text>`,
    ),
  ]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Processor time of one audit by rows, on both axes by powers of ten">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
<g font-family="sans-serif" font-size="12" fill="#333">
${grid.join('\n')}
<text x="${(LEFT + RIGHT) / 2}" y="${BOTTOM + 42}" text-anchor="middle">rows of the copy</text>
<text x="${LEFT}" y="${TOP - 10}">processor time of the digests of all rows</text>
${line('owner', '#b4530a', ({ owner }) => owner.cpuSeconds, 10)}
${line('copy', '#1d5fa8', ({ copy }) => copy.cpuSeconds, 28)}
${line('one SHA-256 of each row and nothing else', '#777', ({ yardstick }) => yardstick.cpuSeconds, 46)}
</g>
</svg>
`
}

/** Writes it where docs/performance.md shows it. */
export function drawCurve(results: readonly AuditResult[]): void {
  writeFileSync(new URL('../../docs/audit-cost.svg', import.meta.url), curvePicture(results))
}
