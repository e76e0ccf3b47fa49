import { execFile } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const hooks = new URL('../../../scripts/typescript.mjs', import.meta.url)

test('the example of the README runs, and prints what it says', async () => {
  const code = /```ts\n([\s\S]*?)```/.exec(await readFile(new URL('../README.md', import.meta.url), 'utf8'))?.[1] ?? ''
  const folder = new URL('output/', import.meta.url)
  const file = fileURLToPath(new URL(`readme-${process.pid}.ts`, folder))
  await mkdir(folder, { recursive: true })
  try {
    await writeFile(file, code)
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', hooks.href, file])
    const promised = /console\.log\(.*\/\/ (.*)/.exec(code)?.[1] ?? ''
    expect(stdout.trim().replace(/:\d+\//, ':41235/')).toBe(promised)
  } finally {
    await rm(folder, { recursive: true })
  }
})
