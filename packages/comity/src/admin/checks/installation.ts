import { ComityError } from '@comity/contract'
import { verify } from '../verify.ts'
import { type Check, error, ok } from './check.ts'

/** Whether `comity run` would start here: migrations, the team, its namespace, the sequence of versions, captures. */
export const installation: Check = {
  name: 'installation',
  async look(declaration, environment) {
    try {
      await verify(declaration, environment)
      return [ok('migrated for this code, and every capture is whole')]
    } catch (cause) {
      if (!(cause instanceof ComityError)) throw cause
      return [error(cause.message.split('\n', 1)[0] as string, cause.remedy)]
    }
  },
}
