import type { FormatName } from 'ajv-formats'

/** The formats of draft 2020-12 that are checked. Others (zod's `cuid`, say) are annotations: their pattern says it all. */
export const FORMATS: ReadonlySet<FormatName> = new Set<FormatName>([
  'date',
  'time',
  'date-time',
  'duration',
  'email',
  'hostname',
  'ipv4',
  'ipv6',
  'uri',
  'uri-reference',
  'uri-template',
  'uuid',
  'json-pointer',
  'relative-json-pointer',
  'regex',
])
