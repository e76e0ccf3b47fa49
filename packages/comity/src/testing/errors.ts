import { type ErrorType, errorType } from '@comity/contract'

export const NoTestServer: ErrorType<never> = errorType(
  'COMITY_NO_TEST_SERVER',
  'there is no Postgres for tests',
  'install @comity/embedded-postgres as a development dependency, or set COMITY_TEST_SERVER to the URL of a superuser',
)
