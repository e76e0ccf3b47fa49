import { existsSync } from 'node:fs'
import { DockerfileParser } from 'dockerfile-ast'
import { validate } from 'dockerfile-utils'
import { describe, expect, test } from 'vitest'
import { readPage } from '../docs/page-tables.ts'

const text = readPage('docs/deployment/Dockerfile')
const dockerfile = DockerfileParser.parse(text)
const instructions = dockerfile.getInstructions().map((one) => ({ keyword: one.getKeyword(), words: one.getArguments().map(String) }))
const lastStage = instructions.slice(instructions.map(({ keyword }) => keyword).lastIndexOf('FROM'))
const exec = (keyword: string): readonly string[] =>
  JSON.parse(
    lastStage
      .filter((one) => one.keyword === keyword)
      .flatMap(({ words }) => words)
      .join(' '),
  )

describe('docs/deployment/Dockerfile', () => {
  test('has nothing that a linter knows to be wrong', () => {
    expect(validate(text).map(({ message }) => message)).toEqual([])
    expect(validate('FROM node\nMAINTAINER me\n')).toHaveLength(1)
  })

  test('has two stages of one base, the Node that CI runs', () => {
    const bases = instructions.filter(({ keyword }) => keyword === 'FROM').map(({ words }) => words[0])
    expect(bases).toEqual(['node:20-slim', 'node:20-slim'])
    expect(text).toContain('npm ci --omit=dev --ignore-scripts')
  })

  test('runs as nobody special, with Node itself as process 1, so that signals arrive', () => {
    expect(lastStage.map(({ keyword }) => keyword).filter((keyword) => ['USER', 'ENTRYPOINT', 'CMD'].includes(keyword))).toEqual([
      'USER',
      'ENTRYPOINT',
      'CMD',
    ])
    expect(lastStage.find(({ keyword }) => keyword === 'USER')?.words).toEqual(['node'])
    expect(lastStage.find(({ keyword }) => keyword === 'STOPSIGNAL')?.words).toEqual(['SIGTERM'])
    const [command, script] = exec('ENTRYPOINT')
    expect(command).toBe('node')
    const { name, bin } = JSON.parse(readPage('packages/cli/package.json')) as { name: string; bin: { comity: string } }
    expect(script).toBe(`node_modules/${name}/${bin.comity.replace('./', '')}`)
    expect(existsSync(new URL(`../../packages/cli/${bin.comity}`, import.meta.url))).toBe(true)
  })

  test('serves the probes at the port that it names', () => {
    const args = exec('CMD')
    expect(args[0]).toBe('run')
    expect(lastStage.find(({ keyword }) => keyword === 'EXPOSE')?.words).toEqual([args[args.indexOf('--port') + 1]])
  })
})
