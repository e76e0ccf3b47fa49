import { type ErrorType, errorType } from '@comity/contract'

export const TableNotFound: ErrorType<'table' | 'hint'> = errorType('COMITY_TABLE_NOT_FOUND', 'there is no table {table}', '{hint}')
export const TableUnfit: ErrorType<'table' | 'problem' | 'remedy'> = errorType(
  'COMITY_TABLE_UNFIT',
  '{table} can not be captured: {problem}',
  '{remedy}',
)
export const ColumnNotFound: ErrorType<'entity' | 'field' | 'table' | 'hint'> = errorType(
  'COMITY_COLUMN_NOT_FOUND',
  'no column of {table} is the field {field} of {entity}',
  '{hint}',
)
export const ColumnAmbiguous: ErrorType<'entity' | 'field' | 'table' | 'candidates'> = errorType(
  'COMITY_COLUMN_AMBIGUOUS',
  'more than one thing could be the field {field} of {entity} in {table}: {candidates}',
  "say which: columns: { {field}: '<column>' }",
)
export const ColumnTypeUnfit: ErrorType<'entity' | 'field' | 'wanted' | 'source' | 'type'> = errorType(
  'COMITY_COLUMN_TYPE_UNFIT',
  'the field {field} of {entity} is {wanted}, and {source} is of type {type}',
  "change the contract, name another column, or convert it: columns: { {field}: { sql: '…' } }",
)
export const ExpressionUnfit: ErrorType<'field' | 'sql' | 'problem'> = errorType(
  'COMITY_EXPRESSION_UNFIT',
  'the expression of the field {field}, {sql}, does not work: {problem}',
  'write one SQL expression over the columns of one row of the table, by their bare names',
)
export const KeyUnfit: ErrorType<'entity' | 'table' | 'problem' | 'remedy'> = errorType(
  'COMITY_CAPTURE_KEY_UNFIT',
  'the key of {entity} can not be taken from {table}: {problem}',
  '{remedy}',
)
export const SizeUnfit: ErrorType<'bytes' | 'most'> = errorType(
  'COMITY_CAPTURE_SIZE_UNFIT',
  'a state of {bytes} bytes can not be allowed',
  'allow between 1 and {most} bytes; publish a reference to large content',
)
export const TableBusy: ErrorType<'patience' | 'blockers'> = errorType(
  'COMITY_TABLE_BUSY',
  'the table was locked for {patience} ms by {blockers}; nothing was changed',
  'wait for these sessions to end their transactions, or end them by pg_terminate_backend(<pid>), and run the command again',
)
