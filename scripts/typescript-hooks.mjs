/**
 * Module hooks (Node's documentation, "Customization hooks"): workspaces resolve to their sources, and `.ts` is compiled file by file.
 * Compiled text is kept by the hash of what went in, so that a process started a thousand times loads the compiler once.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const { version } = require('typescript/package.json')
const cache = fileURLToPath(new URL('../node_modules/.cache/comity-typescript/', import.meta.url))

export async function resolve(specifier, context, next) {
  return next(specifier, { ...context, conditions: ['@comity/source', ...context.conditions] })
}

export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context)
  const path = fileURLToPath(url)
  const source = readFileSync(path, 'utf8')
  const kept = `${cache}${createHash('sha256')
    .update(`${version}\0${basename(path)}\0${source}`)
    .digest('hex')}.mjs`
  return { format: 'module', shortCircuit: true, source: readKept(kept) ?? compile(path, source, kept) }
}

function readKept(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function compile(path, source, kept) {
  const ts = require('typescript')
  const { outputText } = ts.transpileModule(source, {
    fileName: basename(path), // what is kept serves the same file in another checkout, too
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      inlineSourceMap: true,
      inlineSources: true,
    },
  })
  keep(outputText, kept)
  return outputText
}

function keep(text, path) {
  try {
    mkdirSync(cache, { recursive: true })
    writeFileSync(`${path}.${process.pid}`, text)
    renameSync(`${path}.${process.pid}`, path) // whole or not at all: many processes start at once
  } catch {
    // another user's node_modules: it is compiled again next time
  }
}
