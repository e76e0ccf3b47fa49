import { quoteIdentifier } from '../postgres/index.ts'
import type { ReplicaColumn } from './replica-columns.ts'

type State = Readonly<Record<string, unknown>>

/** The lines of `COPY` for states under one version, in the order of a replica's columns: what casting the texts of their fields would give. */
export function copyLines(columns: readonly ReplicaColumn[], states: readonly State[], version: number): string {
  const json = columns.map(({ type }) => type === 'jsonb' || type === 'json')
  const fields = columns.map(({ field }) => field)
  let lines = ''
  for (const state of states) {
    for (let i = 0; i < fields.length; i++) lines += `${copyText(state[fields[i] as string], json[i] as boolean)}\t`
    lines += `${version}\n`
  }
  return lines
}

export function copyStatement(table: string, columns: readonly ReplicaColumn[], versionColumn: string): string {
  return `copy ${table} (${[...columns.map(({ column }) => column), versionColumn].map(quoteIdentifier).join(', ')}) from stdin`
}

/** A JSON value as the text format of COPY has it; missing is null. */
function copyText(value: unknown, json: boolean): string {
  if (value === undefined || value === null) return '\\N'
  if (typeof value === 'string' && !json) return SPECIAL.test(value) ? escaped(value) : value
  return typeof value === 'number' ? JSON.stringify(value) : escaped(JSON.stringify(value))
}

const SPECIAL = /[\\\n\r\t]/
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }

function escaped(text: string): string {
  return text.replace(/[\\\n\r\t]/g, (character) => ESCAPES[character] as string)
}
