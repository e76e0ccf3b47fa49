import type { ErrorType } from '@comity/contract'
import { errorType } from '@comity/contract'

export const SchemaCannotBeUsed: ErrorType<'path' | 'problem'> = errorType(
  'COMITY_SCHEMA_CANNOT_BE_USED',
  'the schema cannot be used for validation, at {path}: {problem}',
  'write JSON Schema draft 2020-12 that the strict mode of Ajv accepts: known keywords and types, a type beside keywords that need one',
)
export const PatternBacktracks: ErrorType<'path' | 'pattern' | 'problem'> = errorType(
  'COMITY_PATTERN_BACKTRACKS',
  'the pattern {pattern} at {path} cannot be used: {problem}',
  'make it unambiguous: one repetition never inside or right beside another that matches the same text, no back references; or use a format, or minLength and maxLength',
)

export const NotJsonValue: ErrorType<'path' | 'problem' | 'advice'> = errorType(
  'COMITY_NOT_JSON_VALUE',
  'the data is not JSON at {path}: {problem}',
  '{advice}',
)
export const TooDeep: ErrorType<'path' | 'limit'> = errorType(
  'COMITY_DATA_TOO_DEEP',
  'the data is nested more than {limit} levels deep at {path}',
  'flatten it, or send the inner part as a text',
)
export const TooManyNodes: ErrorType<'limit'> = errorType(
  'COMITY_DATA_TOO_MANY_NODES',
  'the data consists of more than {limit} values',
  'send several smaller messages, or the data as a file and its address in the message',
)
export const TooLarge: ErrorType<'bytes' | 'limit'> = errorType(
  'COMITY_DATA_TOO_LARGE',
  'the data is {bytes} bytes long, {limit} are allowed',
  'send less, or the data as a file and its address in the message; the limit is the option maxBytes',
)
export const SizeLimitTooHigh: ErrorType<'bytes' | 'limit'> = errorType(
  'COMITY_SIZE_LIMIT_TOO_HIGH',
  'a size limit of {bytes} bytes is not between 1 and {limit}',
  'set maxBytes to a whole number of bytes within it; no broker takes messages above it',
)
export const NotUtf8: ErrorType<never> = errorType('COMITY_NOT_UTF8', 'the text is not UTF-8', 'encode it as UTF-8')
export const HasByteOrderMark: ErrorType<never> = errorType(
  'COMITY_BYTE_ORDER_MARK',
  'the text starts with a byte order mark',
  'send JSON as UTF-8 without a byte order mark (RFC 8259, section 8.1)',
)
export const NotJsonText: ErrorType<'problem'> = errorType(
  'COMITY_NOT_JSON_TEXT',
  'the text is not JSON: {problem}',
  'send one JSON value as RFC 8259 has it',
)
