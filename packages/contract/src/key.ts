import type { ContractDescription } from './contract.ts'
import { InvalidKey } from './errors.ts'
import { isObject } from './json-schema.ts'

/** A subject of a CloudEvent, an ordering key, an index entry: all of them take 256 bytes. */
export const MAX_KEY_BYTES = 256

/** Most keys; nothing below can be wrong with them. */
const PRINTABLE_ASCII = /^[ -~]+$/
const CONTROL = /\p{Cc}/u

/**
 * The key of a state or an event as text: a string as it is, an integer in decimal, a composite key as the JSON array of
 * its values without blanks, `["a",1]`. SQL must build the same text: `'[' || to_json(a)::text || ',' || to_json(b)::text || ']'`.
 */
export function keyOf(contract: Pick<ContractDescription, 'keyFields'>, data: unknown): string {
  const [first, ...others] = contract.keyFields
  const key =
    others.length === 0 ? part('key', data, first as string) : JSON.stringify(contract.keyFields.map((field) => scalar('key', data, field)))
  checkLength('key', key)
  return key
}

/** The tenant of a state or an event as text; undefined if the contract has none. */
export function tenantOf(contract: Pick<ContractDescription, 'tenantField'>, data: unknown): string | undefined {
  if (contract.tenantField === undefined) return undefined
  const tenant = part('tenant', data, contract.tenantField)
  checkLength('tenant', tenant)
  return tenant
}

/** Checks the text of a key, or of a tenant: 1 to 256 bytes, NFC, no control characters, no lone surrogates. */
export function checkKey(key: string, role: 'key' | 'tenant' = 'key', path?: string): void {
  checkText(role, key, path)
  checkLength(role, key)
}

function part(role: 'key' | 'tenant', data: unknown, field: string): string {
  return String(scalar(role, data, field))
}

function scalar(role: 'key' | 'tenant', data: unknown, field: string): string | number {
  const value = isObject(data) && Object.hasOwn(data, field) ? data[field] : undefined
  if (typeof value === 'string') {
    checkText(role, value, field)
    return value
  }
  if (typeof value !== 'number') throw refused(role, value === undefined ? 'is missing' : 'is neither a string nor an integer', field)
  if (!Number.isSafeInteger(value)) throw refused(role, 'is not an integer between ±(2^53 − 1)', field)
  return value === 0 ? 0 : value
}

function checkText(role: string, text: unknown, path: string | undefined): void {
  if (typeof text !== 'string') throw refused(role, 'is not a string', path)
  if (text === '') throw refused(role, 'is empty', path)
  if (PRINTABLE_ASCII.test(text)) return
  if (!text.isWellFormed()) throw refused(role, 'contains half of a surrogate pair', path)
  const control = CONTROL.exec(text)
  if (control !== null) throw refused(role, `contains a control character at position ${control.index}`, path)
  if (text.normalize('NFC') !== text) throw refused(role, 'is not in Unicode form NFC', path)
}

function checkLength(role: string, text: string): void {
  if (text.length * 3 <= MAX_KEY_BYTES) return
  const bytes = Buffer.byteLength(text)
  if (bytes > MAX_KEY_BYTES) {
    throw new InvalidKey({ role, problem: `is ${bytes} bytes long` }, { path: role, limit: `${MAX_KEY_BYTES} bytes` })
  }
}

function refused(role: string, problem: string, path: string | undefined): Error {
  return new InvalidKey({ role, problem }, { path: path ?? role })
}
