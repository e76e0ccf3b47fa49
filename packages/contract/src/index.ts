export { bucketOf } from './bucket.ts'
export type {
  AboutOf,
  Contract,
  ContractDescription,
  DataOf,
  DataOfSchema,
  Deprecation,
  Entity,
  Event,
  FieldName,
  FieldOf,
  KeyFieldName,
  RejectsOf,
  ReplicaRow,
  Request,
  StateOf,
} from './contract.ts'
export { describe } from './describe.ts'
export type { EntityOptions } from './entity.ts'
export { entity } from './entity.ts'
export type { Envelope, MessageKind } from './envelope.ts'
export { fromAttributes, MAX_ATTRIBUTE_BYTES, messageId, sourceOf, teamOfSource, toAttributes } from './envelope.ts'
export type { ErrorDetails, ErrorType } from './error.ts'
export { ComityError, errorType } from './error.ts'
export {
  InvalidAttribute,
  InvalidContract,
  InvalidJsonSchema,
  InvalidKey,
  InvalidKeyField,
  InvalidName,
  MissingAttribute,
  NameCollision,
  NameTooLong,
  ReservedName,
  SchemaChangesValue,
  SchemaNotJson,
  SchemaNotObject,
  SchemaWithoutJsonSchema,
  UnknownAudience,
  UnknownField,
  UnsupportedReference,
} from './errors.ts'
export type { EventOptions } from './event.ts'
export { event } from './event.ts'
export type { JsonSchema, JsonValue, Subschema } from './json-schema.ts'
export { dataPath, dereference, isObject, JSON_SCHEMA_DIALECT, subschemas } from './json-schema.ts'
export { checkKey, keyOf, MAX_KEY_BYTES, tenantOf } from './key.ts'
export {
  checkDistinct,
  checkName,
  checkSubscriptionName,
  checkTeamName,
  defaultSubscriptionName,
  MAX_NAME_BYTES,
  MAX_TEAM_BYTES,
  ownerPart,
} from './names.ts'
export type { RequestOptions } from './request.ts'
export { ENGINE_REASONS, request } from './request.ts'
export type { SchemaSource, StandardJsonSchema, StandardJsonSchemaOptions } from './standard-schema.ts'
export { jsonSchema } from './standard-schema.ts'
export { fieldsOn, topicOf, topicsOf } from './topic.ts'
