import type { WriteStream } from 'node:tty'
import pc from 'picocolors'

const WIDTH = 80
/** A narrower terminal would break the panel's lines, and with them the counting of lines. */
const PANEL_WIDTH = 66
/** Between two plain lines of progress, in milliseconds. */
const PROGRESS_EVERY = 2_000

/** Where the story is told: on a terminal below it a panel that is drawn again and again, elsewhere plain lines. */
export interface Narrator {
  readonly live: boolean
  readonly colour: ReturnType<typeof pc.createColors>
  chapter(title: string): void
  say(text: string): void
  check(holds: boolean, text: string): void
  /** What stands below the story on a terminal, for now. */
  panel(lines: readonly string[]): void
  /** Something takes long: how much of it is done. */
  progress(what: string, done: number, of: number): void
  /** It is done. */
  done(): void
  /** Leaves the panel as it is; nothing is drawn over it any more. */
  close(): void
}

export function narrator(output: WriteStream): Narrator {
  const live = output.isTTY === true && output.columns >= PANEL_WIDTH
  const colour = pc.createColors(live && pc.isColorSupported)
  const width = (): number => Math.min(WIDTH, (live ? output.columns : WIDTH) || WIDTH)
  let drawn = 0
  let panel: readonly string[] = []
  let running: string | undefined
  let saidAt = 0

  function write(lines: readonly string[]): void {
    const below = live ? ['', ...panel, ...(running === undefined ? [] : [running])] : []
    const up = drawn > 0 ? `\u001b[${drawn}A\u001b[J` : ''
    output.write(`${up}${[...lines, ...below].map((line) => `${line}\n`).join('')}`)
    drawn = below.length
  }

  return {
    live,
    colour,
    chapter: (title) => write(['', colour.bold(title)]),
    say: (text) => write(wrap(text, width() - 2).map((line) => `  ${line}`)),
    check(holds, text) {
      const mark = holds ? colour.green('✓') : colour.red('✗')
      write(wrap(text, width() - 4).map((line, index) => `  ${index === 0 ? mark : ' '} ${line}`))
    },
    panel(lines) {
      panel = lines
      if (live) write([])
    },
    progress(what, done, of) {
      const share = of === 0 ? 1 : Math.min(1, done / of)
      const counted = `${done.toLocaleString('en')} of ${of.toLocaleString('en')}`
      if (live) {
        const room = Math.max(0, width() - 4 - what.length - counted.length - 4)
        running = `  ${colour.cyan('█'.repeat(Math.round(share * room)).padEnd(room, '░'))}  ${what}: ${counted}`
      } else if (performance.now() - saidAt > PROGRESS_EVERY) {
        saidAt = performance.now()
        write([`    … ${what}: ${counted}`])
      }
    },
    done() {
      running = undefined
      saidAt = performance.now()
    },
    close() {
      drawn = 0
      panel = []
      running = undefined
    },
  }
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = ['']
  for (const word of text.split(' ')) {
    const line = lines.at(-1) as string
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return lines
}
