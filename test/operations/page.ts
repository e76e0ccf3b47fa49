/**
 * A page whose console blocks are run: lines that begin with `$` are commands, with `#` what happens meanwhile, and what follows a command is
 * its output. `…` alone on a line stands for any lines. What differs from run to run (ids, times, counts of seconds) need not be equal: the
 * page shows one run, and what it shows is known again in later commands.
 */
export interface Shell {
  /** Runs a command line, and answers what it printed. */
  run(command: string): Promise<string>
  /** Makes happen what a `#` line says, and answers the values that the line names, in its order. */
  happen(what: string): Promise<readonly string[]>
}

export interface Section {
  readonly heading: string
  readonly text: string
}

export function sectionsOf(page: string): readonly Section[] {
  return page
    .split(/^(?=## )/m)
    .slice(1)
    .map((text) => ({ heading: (text.split('\n', 1)[0] as string).slice(3), text }))
}

/** Runs the blocks of one section. @returns its text as it should be: what is still so stays as it was written */
export async function runSection({ text }: Section, shell: Shell): Promise<string> {
  const shownAs = new Map<string, string>()
  const parts = text.split(/^(```console\n[\s\S]*?\n```)$/m)
  const run: string[] = []
  for (const part of parts) run.push(part.startsWith('```console') ? await runBlock(part, shell, shownAs) : part)
  return run.join('')
}

async function runBlock(block: string, shell: Shell, shownAs: Map<string, string>): Promise<string> {
  const lines = block.split('\n').slice(1, -1)
  const result: string[] = []
  while (lines.length > 0) {
    const line = lines.shift() as string
    result.push(line)
    const actual = line.replaceAll(VALUE, (shown) => shownAs.get(shown) ?? shown)
    if (line.startsWith('# ')) {
      const values = await shell.happen(line.slice(2).replaceAll(VALUE, 'VALUE'))
      for (const [i, shown] of (line.match(VALUE) ?? []).entries()) if (values[i] !== undefined) shownAs.set(shown, values[i])
    } else if (line.startsWith('$ ')) {
      const end = lines.findIndex((next) => /^[$#] /.test(next))
      const shown = lines.splice(0, end < 0 ? lines.length : end)
      result.push(...compare(shown, await shell.run(actual.slice(2)), shownAs))
    } else throw new Error(`neither a command nor what happens: ${line}`)
  }
  return ['```console', ...result, '```'].join('\n')
}

function compare(shown: readonly string[], output: string, shownAs: Map<string, string>): readonly string[] {
  const printed = output
    .trimEnd()
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line, i, all) => line !== '' || i < all.length - 1)
  const pieces = pattern(shown)
  const match = pieces.exec(`${printed.join('\n')}\n`)
  if (match === null)
    return printed.map((line) => line.replaceAll(VALUE, (value) => [...shownAs].find(([, actual]) => actual === value)?.[0] ?? value))
  // Values of the same place stand for each other.
  const values = printed.join('\n').match(VALUE) ?? []
  if (!shown.includes('…'))
    for (const [i, value] of (shown.join('\n').match(VALUE) ?? []).entries()) shownAs.set(value, values[i] as string)
  return shown
}

/** What the shown lines allow. */
function pattern(shown: readonly string[]): RegExp {
  const lines = shown.map((line) => (line === '…' ? '(?:.*\\n)*?' : `${patternOf(line)}\\n`))
  return new RegExp(`^${lines.join('')}$`)
}

const VALUE =
  /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b|\b\d{4}-\d\d-\d\dT[\d:.]+Z|\b[a-z]+-\d{14,16}\b|\b[0-9a-f]{12}\b|\b\d{14,16}\b|(?<=pid |backend\()\d+/g

function patternOf(line: string): string {
  const placeholders: string[] = []
  const keep = (source: string): string => `\uE000${placeholders.push(source) - 1}\uE000`
  return (
    line
      .replaceAll(VALUE, () => keep('[0-9a-zT:.Z-]+'))
      .replaceAll(/relayed by \S+, term \d+/g, () => keep('relayed by \\S+, term \\d+'))
      // Right-aligned: a shorter one has a blank more in front.
      .replaceAll(/^ *\d+[smhd]\b/g, () => keep(' *\\d+[smhd]'))
      .replaceAll(/(?<![\w.-])\d+(?:\.\d+)? ?[smhd]\b/g, () => keep('\\d+(?:\\.\\d+)? ?[smhd]'))
      .replaceAll(/to version \d+/g, () => keep('to version \\d+'))
      .replaceAll(/(?<=[█░]{10} +\d+ +\d+ +)[\d,]+/g, () => keep('[\\d,]+')) // rows a second
      .replaceAll(/in \d+ partitions/g, () => keep('in \\d+ partitions'))
      .replaceAll(/\d+ of the last \d+ messages/g, () => keep('\\d+ of the last \\d+ messages'))
      .replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
      .replaceAll(/ +/g, ' +')
      .replaceAll(/\uE000(\d+)\uE000/g, (_, index) => placeholders[Number(index)] as string)
  )
}
