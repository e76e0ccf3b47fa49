import type { ErrorType } from './error.ts'
import { errorType } from './error.ts'

// Names

export const InvalidName: ErrorType<'kind' | 'name' | 'problem' | 'shape'> = errorType(
  'COMITY_INVALID_NAME',
  'the {kind} name {name} {problem}',
  'write it as {shape}: lower-case letters, digits and single hyphens, each part starting with a letter',
)
export const NameTooLong: ErrorType<'kind' | 'name' | 'bytes' | 'limit' | 'advice'> = errorType(
  'COMITY_NAME_TOO_LONG',
  'the {kind} name {name} is {bytes} bytes long, {limit} are allowed',
  '{advice}',
)
export const ReservedName: ErrorType<'kind' | 'name'> = errorType(
  'COMITY_RESERVED_NAME',
  'the {kind} name {name} is reserved: "comity" and what starts with "comity." belong to the system',
  'choose another name for the part before the first dot',
)
export const NameCollision: ErrorType<'kind' | 'name' | 'first' | 'second'> = errorType(
  'COMITY_NAME_COLLISION',
  'the {kind} name {name} stands for both {first} and {second}',
  'give one of the two a name of its own',
)

// Contracts

export const InvalidContract: ErrorType<'contract' | 'problem' | 'advice'> = errorType(
  'COMITY_INVALID_CONTRACT',
  'the contract {contract} {problem}',
  '{advice}',
)
export const UnknownField: ErrorType<'contract' | 'field' | 'fields'> = errorType(
  'COMITY_UNKNOWN_FIELD',
  'the contract {contract} has no field {field}',
  'use one of its fields: {fields}',
)
export const InvalidKeyField: ErrorType<'contract' | 'role' | 'field' | 'problem'> = errorType(
  'COMITY_INVALID_KEY_FIELD',
  'the {role} field {field} of {contract} {problem}',
  'a {role} field is a required string or integer on the top level of the schema',
)
export const UnknownAudience: ErrorType<'contract' | 'problem' | 'audiences'> = errorType(
  'COMITY_UNKNOWN_AUDIENCE',
  '{contract} {problem}',
  'name one of the audiences that the contract declares ({audiences})',
)

// Schemas

export const SchemaWithoutJsonSchema: ErrorType<'contract' | 'vendor'> = errorType(
  'COMITY_SCHEMA_WITHOUT_JSON_SCHEMA',
  'the schema of {contract} (vendor {vendor}) cannot tell its JSON Schema',
  "use a library that implements Standard JSON Schema (zod 4.2 or later, ArkType 2.1.28 or later; Valibot's `toStandardJsonSchema(schema)` of " +
    '@valibot/to-json-schema), or give the JSON Schema yourself: `jsonSchema<State>(…)`',
)
export const SchemaNotJson: ErrorType<'contract' | 'path' | 'problem'> = errorType(
  'COMITY_SCHEMA_NOT_JSON',
  'the schema of {contract} cannot be JSON at {path}: {problem}',
  'describe what is on the wire: a time is a string (z.iso.datetime()), a big integer a string, a set an array',
)
export const SchemaChangesValue: ErrorType<'contract' | 'path' | 'problem'> = errorType(
  'COMITY_SCHEMA_CHANGES_VALUE',
  'the schema of {contract} changes the value at {path}: {problem}',
  'a contract describes the wire, what goes in comes out: take the transform, default or coercion out of the contract and apply it in your own code',
)
export const SchemaNotObject: ErrorType<'contract' | 'problem'> = errorType(
  'COMITY_SCHEMA_NOT_OBJECT',
  'the schema of {contract} is not one object with named fields: {problem}',
  'make it an object (z.object(…)); put a union or a list into one of its fields',
)
export const InvalidJsonSchema: ErrorType<'contract' | 'path' | 'problem'> = errorType(
  'COMITY_INVALID_JSON_SCHEMA',
  'the JSON Schema of {contract} is wrong at {path}: {problem}',
  'write JSON Schema draft 2020-12; annotations of your own start with "x-"',
)
export const UnsupportedReference: ErrorType<'contract' | 'path' | 'problem'> = errorType(
  'COMITY_UNSUPPORTED_REFERENCE',
  'the schema of {contract} refers at {path} to what a contract cannot hold: {problem}',
  'a contract is complete and finite in itself: refer only to "#/$defs/…" of the same schema, without cycles; for a tree, declare the field as any JSON (z.unknown())',
)

// Keys and tenants

export const InvalidKey: ErrorType<'role' | 'problem'> = errorType(
  'COMITY_INVALID_KEY',
  'the {role} {problem}',
  'a {role} is 1 to 256 bytes of UTF-8 text in Unicode form NFC without control characters, or a safe integer',
)

// Envelope

export const MissingAttribute: ErrorType<'attribute'> = errorType(
  'COMITY_MISSING_ATTRIBUTE',
  'the message has no attribute {attribute}',
  'send CloudEvents 1.0 in binary mode with all attributes of docs/architecture.md, "On the wire"; messages of other programs belong on another topic',
)
export const InvalidAttribute: ErrorType<'attribute' | 'problem'> = errorType(
  'COMITY_INVALID_ATTRIBUTE',
  'the attribute {attribute} {problem}',
  'send CloudEvents 1.0 in binary mode with all attributes of docs/architecture.md, "On the wire"',
)
