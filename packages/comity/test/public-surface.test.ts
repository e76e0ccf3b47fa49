/** What other people's code can name: enumerated by hand, and locked. A name that goes or changes its kind breaks somebody. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

const packages = new URL('../../', import.meta.url)

interface EntryPoint {
  /** As it is imported, e.g. `comity/admin`. */
  readonly name: string
  readonly source: URL
  readonly folder: URL
  readonly targets: Readonly<Record<string, string>>
}

interface Manifest {
  readonly name: string
  readonly bin?: Readonly<Record<string, string>>
  readonly files: readonly string[]
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>
}

const manifests = readdirSync(packages)
  .map((name) => ({ folder: new URL(`${name}/`, packages), file: new URL(`${name}/package.json`, packages) }))
  .filter(({ file }) => existsSync(file))
  .map(({ folder, file }) => ({ folder, manifest: JSON.parse(readFileSync(file, 'utf8')) as Manifest }))

const entryPoints: readonly EntryPoint[] = manifests.flatMap(({ folder, manifest }) =>
  Object.entries(manifest.exports).flatMap(([path, targets]) =>
    typeof targets === 'string'
      ? []
      : [{ name: manifest.name + path.slice(1), source: new URL(targets['@comity/source'] as string, folder), folder, targets }],
  ),
)

/** The names that a file exports, in order of the alphabet. `export *` has none: what it lets out nobody has enumerated. */
function exportsOf(file: URL): { readonly values: readonly string[]; readonly types: readonly string[]; readonly stars: number } {
  const source = ts.createSourceFile(basename(file.pathname), readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true)
  const values: string[] = []
  const types: string[] = []
  let stars = 0
  for (const statement of source.statements) {
    if (ts.isExportDeclaration(statement)) {
      if (statement.exportClause === undefined || !ts.isNamedExports(statement.exportClause)) stars++
      else
        for (const { name, isTypeOnly } of statement.exportClause.elements)
          (isTypeOnly || statement.isTypeOnly ? types : values).push(name.text)
    } else if (ts.canHaveModifiers(statement) && ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) {
      if (ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement)) types.push(statement.name.text)
      else if (ts.isVariableStatement(statement)) values.push(...statement.declarationList.declarations.map(({ name }) => name.getText()))
      else values.push((statement as ts.FunctionDeclaration | ts.ClassDeclaration).name?.text ?? 'default')
    }
  }
  return { values: values.sort(), types: types.sort(), stars }
}

describe.each(entryPoints)('$name', ({ source, targets, folder }) => {
  const { values, types, stars } = exportsOf(source)

  test('exports these names', () => {
    expect({ values, types }).toMatchSnapshot()
  })

  test('enumerates them by hand', async () => {
    expect(stars).toBe(0)
    expect(Object.keys(await import(source.href)).sort()).toEqual(values)
  })

  test('is compiled to the files that package.json names', () => {
    const path = (targets['@comity/source'] as string).replace(/^\.\/src\//, '').replace(/\.ts$/, '')
    expect(existsSync(source)).toBe(true)
    expect(targets).toEqual({ '@comity/source': `./src/${path}.ts`, types: `./dist/${path}.d.ts`, default: `./dist/${path}.js` })
    expect(Object.keys(targets)[0]).toBe('@comity/source') // the first that fits is taken
    expect(existsSync(new URL('tsconfig.json', folder))).toBe(true)
  })
})

test('the main entry of comity is small', () => {
  const { values, types } = exportsOf(new URL('comity/src/index.ts', packages))
  expect(values.length + types.length).toBeLessThanOrEqual(25)
})

test.each(manifests)('what $manifest.name ships is there, and its package.json can be imported', ({ folder, manifest }) => {
  for (const path of [...manifest.files.filter((path) => path !== 'dist'), ...Object.values(manifest.bin ?? {})]) {
    expect(existsSync(new URL(path, folder)), path).toBe(true)
  }
  expect(manifest.exports['./package.json']).toBe('./package.json')
  expect(manifest.files).toContain('src') // the maps of dist lead there
})
