/**
 * Every line that Comity logs, as data: its name, which never changes, its level, its words, and its fields. Engines in other languages log the
 * same names and fields, so that one search finds them all. No field ever holds a key or a payload.
 */
export interface LogEvent {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  /** Beside `event` and `team`, which every line has. */
  readonly fields: readonly LogField[]
}

export const LOG_FIELDS = {
  event: 'the name of the line, of the list above',
  team: 'the team that speaks',
  subscription: 'the subscription, `<team>.<name>`',
  topic: 'the topic',
  message: "a message's id, unique over all teams; the attribute `id` of CloudEvents",
  type: "the contract's name",
  tenant: 'whose data it is; only on lines that a handler writes',
  attempt: 'which attempt of the message this is; 1 for the first',
  reason: 'why, in a word of the glossary or in a sentence',
  failures: 'failures in a row so far',
  service: 'a background service of this process, in words',
  holder: 'a process: `<host>:<pid>:<random>`',
  term: "the term of the relay's lease",
  checkpoint: 'the version up to which everything is settled',
  step: 'what was done, in words',
  topics: 'what this process relays',
  subscriptions: 'what this process runs',
  signal: 'the signal that ends the process',
  url: 'where the process answers probes and shows its metrics',
  'error.code': 'the code of an error of docs/errors.md, of Node, or of Postgres (SQLSTATE)',
  'error.message': 'one line of words; never values',
} as const
export type LogField = keyof typeof LOG_FIELDS

export const LOG_EVENTS = {
  'comity.migrated': { level: 'info', message: 'migrated', fields: ['step'] },
  'comity.superuser': {
    level: 'warn',
    message: 'running as a superuser: "comity migrate --roles" prints a role that has the rights it needs and no others',
    fields: [],
  },
  'comity.clone': {
    level: 'error',
    message: 'this database is a copy of one that is alive: this process neither sends nor receives',
    fields: ['holder', 'error.code', 'error.message'],
  },
  'comity.service.failed': {
    level: 'warn',
    message: 'a turn failed and will be repeated',
    fields: ['service', 'failures', 'error.code', 'error.message'],
  },
  'comity.relay.leading': { level: 'info', message: 'leading: relaying from the checkpoint', fields: ['term', 'checkpoint'] },
  'comity.relay.following': { level: 'info', message: 'not leading any more', fields: ['term', 'reason'] },
  'comity.relay.not_taken': {
    level: 'warn',
    message: 'the broker did not take a batch; sending it again',
    fields: ['topic', 'failures', 'error.code', 'error.message'],
  },
  'comity.subscription.broker_lost': {
    level: 'warn',
    message: 'the broker can not be reached',
    fields: ['subscription', 'error.code', 'error.message'],
  },
  'comity.subscription.broker_back': { level: 'info', message: 'the broker is back', fields: ['subscription'] },
  'comity.subscription.stopped_receiving': {
    level: 'error',
    message: 'receiving stopped and will be started again',
    fields: ['subscription', 'error.code', 'error.message'],
  },
  'comity.message.database_failed': {
    level: 'warn',
    message: 'the database could not take a message; trying again',
    fields: ['subscription', 'reason', 'error.code', 'error.message'],
  },
  'comity.message.waiting': {
    level: 'warn',
    message: 'a message waits, and its key with it',
    fields: ['subscription', 'message', 'attempt', 'reason', 'error.code', 'error.message'],
  },
  'comity.message.not_parked': {
    level: 'warn',
    message: 'a message could not be parked; trying again',
    fields: ['subscription', 'message', 'error.code', 'error.message'],
  },
  'comity.bus.connection_lost': {
    level: 'debug',
    message: 'an idle connection to the bus was lost',
    fields: ['error.code', 'error.message'],
  },
  'comity.bus.upkeep_failed': {
    level: 'warn',
    message: 'the bus could not be maintained; it will be tried again',
    fields: ['error.code', 'error.message'],
  },
} as const
export type LogEventName = keyof typeof LOG_EVENTS
