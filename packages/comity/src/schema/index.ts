export { refusalsOf } from './compatibility/compatibility.ts'
export type { Refusal } from './compatibility/refusal.ts'
export {
  HasByteOrderMark,
  NotJsonText,
  NotJsonValue,
  NotUtf8,
  PatternBacktracks,
  SchemaCannotBeUsed,
  SizeLimitTooHigh,
  TooDeep,
  TooLarge,
  TooManyNodes,
} from './errors.ts'
export { DEFAULT_MAX_BYTES, guardJson, guardSize, HARD_MAX_BYTES, MAX_DEPTH, MAX_NODES, parseJson, parseJsonEach } from './json-guard.ts'
export { knownFields } from './known-fields.ts'
export { partialSchema } from './partial-schema.ts'
export { pickedFields, picker } from './picker.ts'
export type { Validator } from './validator.ts'
export { compile } from './validator.ts'
