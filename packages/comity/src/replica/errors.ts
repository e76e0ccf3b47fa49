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
  'declare it as it was, or run "comity replica rebuild {replica}", which fills a table of the declared shape and puts it in the place of the old one',
)
export const ReplicaBeingRebuilt: ErrorType<'replica'> = errorType(
  'COMITY_REPLICA_BEING_REBUILT',
  '{replica} is being rebuilt, and can not be changed meanwhile',
  'run "comity replica rebuild {replica}" until it is done, or with --cancel',
)
export const ReplicaNotRebuilding: ErrorType<'replica'> = errorType(
  'COMITY_REPLICA_NOT_REBUILDING',
  '{replica} is not being rebuilt',
  'begin with "comity replica rebuild {replica}"',
)
export const ReplicaHasDependents: ErrorType<'replica' | 'table' | 'dependents'> = errorType(
  'COMITY_REPLICA_HAS_DEPENDENTS',
  'another table can not take the place of {table}, which is that of {replica}: {dependents}',
  'drop these, have it rebuilt, and make them again',
)
export const ReplicaColumnsHaveDependents: ErrorType<'table' | 'change' | 'dependents' | 'command'> = errorType(
  'COMITY_REPLICA_COLUMNS_HAVE_DEPENDENTS',
  '{table} can not be changed ({change}) under what is made from it: {dependents}',
  'drop these, run "{command}", and make them again; nothing was changed',
)
export const ReplicaColumnTaken: ErrorType<'table' | 'column' | 'replica'> = errorType(
  'COMITY_REPLICA_COLUMN_TAKEN',
  '{table} has a column {column} that is not of the replica {replica}',
  "rename it, or name another column with the option 'columns' of keeps",
)
export const ReplicaTableNeeded: ErrorType<'table' | 'reason'> = errorType(
  'COMITY_REPLICA_TABLE_NEEDED',
  'the table {table} can not be dropped: {reason}',
  'drop what is made from it (views, foreign keys, functions), or keep it with --keep-table; nothing was changed',
)
export const ReplicaNotRebuilt: ErrorType<'replica' | 'state'> = errorType(
  'COMITY_REPLICA_NOT_REBUILT',
  'the new table of {replica} is not ready: {state}',
  'run "comity replica rebuild {replica}" again, which waits for it',
)
export const ReadersFromBefore: ErrorType<'table' | 'readers'> = errorType(
  'COMITY_READERS_FROM_BEFORE',
  'transactions that began before the new {table} was complete would see a part of it: {readers}',
  'let them end, or end them, and try again',
)
export const ReplicaColumnDeclared: ErrorType<'replica' | 'column'> = errorType(
  'COMITY_REPLICA_COLUMN_DECLARED',
  '{column} of {replica} can not be dropped: it is declared, of its key, or not there',
  'name columns that "comity migrate" says nothing declares any more',
)
export const ReplicaDeclared: ErrorType<'replica'> = errorType(
  'COMITY_REPLICA_DECLARED',
  'the code still keeps {replica}',
  'take its keeps() out of the code, and deploy that first',
)
export const ReplicaUnknown: ErrorType<'replica' | 'replicas'> = errorType(
  'COMITY_REPLICA_UNKNOWN',
  'the database knows no replica {replica}',
  'name one of {replicas}',
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
