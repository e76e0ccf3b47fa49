import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './installation.mjs'
import { runStep } from './run-step.mjs'

/** Where {@link fetchPromtool} puts it; test/support/promtool.ts looks there, and in the PATH. */
const FOLDER = join(root, 'node_modules/.cache/promtool')

/**
 * The alert rules are tested with Prometheus' own promtool. Where it is missing and there is apt (Debian's package `prometheus`, 19 MB), it is
 * taken out of that package, and nothing is installed: the package as a whole would be a running server and 96 MB. Else the tests show that they skip
 * it, and with CI=true and root they fail.
 */
export async function fetchPromtool() {
  const here = [join(FOLDER, 'usr/bin/promtool'), '/usr/bin/promtool'].some(existsSync)
  if (here || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return
  const folder = mkdtempSync(join(tmpdir(), 'comity-promtool-'))
  try {
    const download = () => runStep('Fetching promtool', 'apt-get', ['download', '-q', 'prometheus'], { cwd: folder })
    let fetched = await download()
    if (fetched.code !== 0) {
      await runStep('Updating the list of packages', 'apt-get', ['update', '-q'])
      fetched = await download()
    }
    const file = readdirSync(folder).find((name) => name.endsWith('.deb'))
    const unpack = `mkdir -p "$2" && dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" ./usr/bin/promtool`
    const unpacked = file && (await runStep('Unpacking promtool', 'sh', ['-c', unpack, 'sh', join(folder, file), FOLDER]))
    if (unpacked?.code !== 0) process.stderr.write(`${(unpacked ?? fetched).output}\n`)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
