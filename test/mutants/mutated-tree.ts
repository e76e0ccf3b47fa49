import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Edit } from './mutant.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** What a stage or a test runs: sources only, nothing is built. */
const COPIED = ['packages', 'test', 'scripts', 'package.json', 'package-lock.json', 'vitest.config.ts', 'tsconfig.base.json']
const LEFT_OUT = /\/(node_modules|dist|output|examples|bench)(\/|$)/

/** A copy of the repository's sources in which a bug is seeded; its packages find each other, and everything else where it is installed. */
export class MutatedTree implements Disposable {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  static make(edits: readonly Edit[]): MutatedTree {
    const tree = new MutatedTree(mkdtempSync(join(tmpdir(), 'comity-mutant-')))
    for (const path of COPIED) {
      cpSync(join(root, path), join(tree.folder, path), {
        recursive: true,
        filter: (source) => !LEFT_OUT.test(source.slice(root.length - 1)),
      })
    }
    tree.#link(join(root, 'node_modules'), join(tree.folder, 'node_modules'))
    for (const edit of edits) tree.#seed(edit)
    return tree
  }

  /** Workspaces are links in node_modules; here they point into the copy. */
  #link(from: string, to: string): void {
    mkdirSync(to, { recursive: true })
    for (const entry of readdirSync(from, { withFileTypes: true })) {
      const [source, target] = [join(from, entry.name), join(to, entry.name)]
      if (entry.name.startsWith('@') && entry.isDirectory()) this.#link(source, target)
      else if (entry.isSymbolicLink()) {
        const workspace = resolve(dirname(source), readlinkSync(source))
        const copied = join(this.folder, workspace.slice(root.length))
        if (existsSync(copied)) symlinkSync(copied, target)
      } else if (!entry.name.startsWith('.') || entry.name === '.cache') symlinkSync(source, target)
    }
  }

  #seed({ file, find, replace }: Edit): void {
    const path = join(this.folder, file)
    const text = readFileSync(path, 'utf8')
    const times = text.split(find).length - 1
    if (times !== 1)
      throw new Error(`${file} has ${times} places that read\n${find}\n  What to do: bring the mutant up to date with the code`)
    writeFileSync(
      path,
      text.replace(find, () => replace),
    )
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }
}
