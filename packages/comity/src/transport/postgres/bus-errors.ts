import { ComityError } from '@comity/contract'
import {
  ProvisionConflict,
  SubscriptionUnknown,
  TopicUnknown,
  TransportFailed,
  TransportForbidden,
  TransportUnavailable,
  TransportUnsupported,
} from '../errors.ts'

/** SQLSTATEs after which the same call may succeed: connection lost, shutting down, no slot free, deadlock, lock or statement timeout. */
const passing = /^(08|57P0|53|40|55P03|57014|25006|58|XX000)/

/** Any error of `pg` or of the bus's functions as an error of the transport layer. */
export function translateBusError(error: unknown): ComityError {
  if (error instanceof ComityError) return error
  const { message: reason, code: sqlstate } = error as Error & { code?: unknown }
  const transport = 'postgres'
  // Without an SQLSTATE it is the client's or the operating system's: refused, reset, timed out, ended.
  if (typeof sqlstate !== 'string' || !/^[0-9A-Z]{5}$/.test(sqlstate) || passing.test(sqlstate)) {
    return new TransportUnavailable({ transport, reason }, { cause: error })
  }
  const subject = reason.replace(/^no (topic|subscription) /, '')
  switch (sqlstate) {
    case 'CB001':
      return new TopicUnknown({ topic: subject }, { cause: error })
    case 'CB002':
      return new SubscriptionUnknown({ subscription: subject }, { cause: error })
    case 'CB003':
      return new TransportForbidden(
        { transport, reason, remedy: 'connect as a role of that team; `comity migrate --roles` prints the statements' },
        { cause: error },
      )
    case 'CB004':
      return new ProvisionConflict({ conflict: reason }, { cause: error })
    case '42501':
    case '28000':
    case '28P01':
      return new TransportForbidden(
        {
          transport,
          reason,
          remedy: 'a team needs the grants that `comity migrate --roles` prints; `comity provision` needs the operator role',
        },
        { cause: error },
      )
    case '3F000': // no schema
    case '42883': // no function
    case '42P01': // no table
      return new TransportUnsupported(
        {
          transport,
          reason: `its database lacks the schema of the bus, or has an older one (${reason})`,
          remedy: 'run `comity provision` as the operator',
        },
        { cause: error },
      )
    case '3D000':
      return new TransportUnsupported(
        { transport, reason, remedy: 'create the database, then run `comity provision` as the operator' },
        { cause: error },
      )
    default:
      return new TransportFailed({ transport, reason }, { cause: error })
  }
}

/** Whether waiting and repeating can help. */
export function isPassing(error: unknown): boolean {
  return error instanceof TransportUnavailable
}
