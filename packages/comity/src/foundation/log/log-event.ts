import type { Logger } from '../logger.ts'
import { errorFields } from './error-fields.ts'
import { LOG_EVENTS, type LogEvent, type LogEventName } from './log-events.ts'

type Registered<Name extends LogEventName> = (typeof LOG_EVENTS)[Name]['fields'][number]

/** The fields that the registry names for an event; the two of an error are given as the error. */
export type FieldsOf<Name extends LogEventName> = Readonly<
  Record<Exclude<Registered<Name>, 'error.code' | 'error.message'>, unknown> &
    ('error.code' extends Registered<Name> ? { error: unknown } : object)
>

/** Logs one event of {@link LOG_EVENTS}, with its level and its words. */
export function logEvent<Name extends LogEventName>(logger: Logger, event: Name, fields: FieldsOf<Name>): void {
  const { level, message }: LogEvent = LOG_EVENTS[event]
  const { error, ...rest } = fields as { readonly error?: unknown } & Readonly<Record<string, unknown>>
  logger[level]({ event, ...rest, ...('error' in fields ? errorFields(error) : {}) }, message)
}
