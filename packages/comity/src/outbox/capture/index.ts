export { type CaptureProblem, captureProblems } from './capture-problems.ts'
export { captureFingerprint, captureSql, dropCaptureSql, releaseSql } from './capture-sql.ts'
export {
  ColumnAmbiguous,
  ColumnNotFound,
  ColumnTypeUnfit,
  ExpressionUnfit,
  KeyUnfit,
  SizeUnfit,
  TableBusy,
  TableNotFound,
  TableUnfit,
} from './errors.ts'
export { type FieldType, fieldType } from './field-type.ts'
export { type CaptureOptions, type CapturePlan, expressionsOf, planCapture } from './plan-capture.ts'
export { runWithLockTimeout } from './run-with-lock-timeout.ts'
export { snakeCase } from './snake-case.ts'
export { inspectTable, type TableShape } from './table-shape.ts'
export { SESSION_SETTINGS } from './trigger-sql.ts'
export { columnFromWire, replicaColumnType, wireFromColumn } from './wire-sql.ts'
