import { type ErrorType, errorType } from '@comity/contract'

export const ReplicaNotMigrated: ErrorType<'replica'> = errorType(
  'COMITY_REPLICA_NOT_MIGRATED',
  'the database does not know the replica {replica}',
  'run "comity migrate"',
)
export const ReplicaTableTaken: ErrorType<'table' | 'replica'> = errorType(
  'COMITY_REPLICA_TABLE_TAKEN',
  'the table {table} exists and is not the replica {replica}',
  "name another one with the option 'table' of keeps, or rename the existing table",
)
export const ReplicaFieldUnknown: ErrorType<'entity' | 'field' | 'fields'> = errorType(
  'COMITY_REPLICA_FIELD_UNKNOWN',
  '{entity} has no field {field}',
  'keep some of: {fields}',
)
export const FieldNotGranted: ErrorType<'entity' | 'field' | 'audience' | 'fields' | 'owner'> = errorType(
  'COMITY_FIELD_NOT_GRANTED',
  '{entity} does not grant its field {field} to the audience {audience}',
  'keep some of {fields}, or ask {owner} to grant it',
)
export const ReplicaChanged: ErrorType<'replica' | 'change'> = errorType(
  'COMITY_REPLICA_CHANGED',
  'the declared fields of {replica} are not those of its table: {change}',
  'this version can not change a replica in place: declare it as it was, or drop its table and its row in comity.replicas (name = \'{replica}\'), and run "comity migrate"',
)
export const ReplicaColumnsCollide: ErrorType<'replica' | 'column'> = errorType(
  'COMITY_REPLICA_COLUMNS_COLLIDE',
  'two fields of {replica} would be stored in the column {column}',
  "name the columns with the option 'columns' of keeps",
)
export const ForeignToken: ErrorType<'token' | 'replica'> = errorType(
  'COMITY_FOREIGN_TOKEN',
  '{token} is not a token of the entity that {replica} keeps',
  'pass the token that the owner returned for this entity',
)
export const WaitTimedOut: ErrorType<'replica' | 'version' | 'limit'> = errorType(
  'COMITY_WAIT_TIMED_OUT',
  '{replica} has not reached version {version} within {limit}',
  'look at its freshness with "comity status", or wait longer',
)
