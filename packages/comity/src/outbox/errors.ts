import { type ErrorType, errorType } from '@comity/contract'

export const NotPublishedHere: ErrorType<'contract' | 'team'> = errorType(
  'COMITY_NOT_PUBLISHED_HERE',
  '{team} does not publish {contract}',
  'declare it with .publishes(…), or let its owner publish it',
)
export const EntityIsCaptured: ErrorType<'entity'> = errorType(
  'COMITY_ENTITY_IS_CAPTURED',
  '{entity} is captured from a table, and has that one source',
  'write the table; the change is announced by itself',
)
export const InvalidData: ErrorType<'contract' | 'problem'> = errorType(
  'COMITY_INVALID_DATA',
  'the data does not fit {contract}: {problem}',
  'publish what the contract describes; nothing was stored',
)
export const OutboxNotMigrated: ErrorType<'contract'> = errorType(
  'COMITY_OUTBOX_NOT_MIGRATED',
  'the database does not know the contract {contract}',
  'run "comity migrate" on this database',
)
export const PublishRefused: ErrorType<'contract' | 'problem' | 'hint'> = errorType(
  'COMITY_PUBLISH_REFUSED',
  'the database refused to publish {contract}: {problem}',
  '{hint}',
)
export const EntityForLater: ErrorType<'entity'> = errorType(
  'COMITY_ENTITY_FOR_LATER',
  '{entity} is an entity: a state is announced when it is one, never for later',
  'leave notBefore out, or publish an event for later',
)
export const NothingPublished: ErrorType<'topic' | 'key'> = errorType(
  'COMITY_NOTHING_PUBLISHED',
  'this transaction has published nothing for {topic} {key}',
  'ask for the token after the write, in the same transaction',
)

/** Turns the errors of our SQL functions (class CM) into typed ones; everything else passes through. */
export function translateSqlError(error: unknown, contract: string): unknown {
  for (let cause = error; cause instanceof Error; cause = cause.cause as Error) {
    const { code, hint, message } = cause as { code?: unknown; hint?: unknown; message: string }
    if (typeof code !== 'string') continue
    if (code === 'CM001' || code === '3F000' || code === '42883') return new OutboxNotMigrated({ contract }, { cause: error })
    if (code === 'CM002') return new EntityIsCaptured({ entity: contract }, { cause: error })
    if (code.startsWith('CM'))
      return new PublishRefused({ contract, problem: message, hint: String(hint ?? 'see the cause') }, { cause: error })
  }
  return error
}
