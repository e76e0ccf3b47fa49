import { expect, test } from 'vitest'
import { errorsPage, raisedBySql, registeredErrors, registries, sourcesOf, sourceText, withheldBecause } from './errors-page.ts'

const all = (await Promise.all(registries().map(registeredErrors))).flat()
const files = sourcesOf(/\.(ts|sql)$/).map((path) => ({ path, text: sourceText(path) }))

test('docs/errors.md lists every error with its cause and its remedy, and no other (npx vitest run test/docs -u)', async () => {
  await expect(await errorsPage()).toMatchFileSnapshot('../../docs/errors.md')
})

test('there are errors to list, in every registry', async () => {
  expect(all.length).toBeGreaterThan(80)
  for (const file of registries()) expect((await registeredErrors(file)).length, file).toBeGreaterThan(0)
})

test('an error has one code, a cause and a remedy in words', () => {
  const ofLauncher = (file: string): boolean => file.startsWith('embedded-postgres/') // depends on nothing, so has a registry of its own
  const codes = all.filter(({ file }) => !ofLauncher(file)).map(({ code }) => code)
  expect(codes.filter((code, index) => codes.indexOf(code) < index)).toEqual([])
  for (const { name, code, cause, remedy } of all) {
    expect(code, name).toMatch(/^COMITY_[A-Z0-9]+(_[A-Z0-9]+)*$/)
    expect(cause, name).toMatch(/^\S.*\S$|^\{\w+\}$/s)
    expect(remedy, name).toMatch(/^\S.*\S$|^\{\w+\}$/s)
    expect(remedy, name).not.toMatch(/\.$/) // a remedy is a phrase: the messages end alike
  }
})

test('every error can happen: some source uses it', () => {
  const code = files.filter(({ path }) => !/(^|\/)errors\.ts$|\/index\.ts$/.test(path)).map(({ text }) => text)
  const registry = files.filter(({ path }) => /(^|\/)errors\.ts$/.test(path)).map(({ text }) => text)
  const used = ({ name }: { readonly name: string }): boolean => {
    const word = new RegExp(`\\b${name}\\b`)
    return code.some((text) => word.test(text)) || registry.some((text) => new RegExp(`new ${name}\\(`).test(text))
  }
  // The last two are thrown by handlers.
  const unused = all.filter((error) => !used(error)).map(({ name }) => name)
  expect(unused).toEqual([])
})

test('codes that stand beside withheld changes are the ones listed', () => {
  const known = new Set(all.map(({ code }) => code))
  const written = files
    .filter(({ path }) => /\/(outbox|relay)\/|\/migrations\//.test(path) && !path.endsWith('errors.ts'))
    .flatMap(({ text }) => [...text.matchAll(/'(COMITY_[A-Z0-9_]+)'/g)].map(([, code]) => code as string))
    .filter((code) => !known.has(code))
  expect([...new Set(written)].sort()).toEqual(Object.keys(withheldBecause).sort())
})

test('codes that SQL raises are the ones listed', () => {
  const raised = files.flatMap(({ text }) =>
    [...text.matchAll(/(?:errcode\s*=\s*|comity\.refuse\(\s*)'([0-9A-Z]{5})'/gi)].map(([, code]) => code as string),
  )
  const own = raised.filter((code) => code !== CARRIES_AN_ANSWER)
  expect([...new Set(own)].sort()).toEqual(Object.keys(raisedBySql).sort())
})

/** Raised and caught by one function, to get an answer out of a block that is rolled back. */
const CARRIES_AN_ANSWER = 'CM900'
