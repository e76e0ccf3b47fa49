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
  sender: 'the team that said it',
  handled: 'how many messages a handler had acted upon',
  discarded: 'how many messages ended without an effect',
  messages: 'ids of messages, as the attribute `id` of CloudEvents; the first twenty',
  command: "a command's id",
  job: "a job's id",
  kind: 'what kind of job it is, or of what a team says of itself',
  state: 'how a job ended',
  service: 'a background service of this process, in words',
  holder: 'a process: `<host>:<pid>:<random>`',
  term: "the term of the relay's lease",
  checkpoint: 'the version up to which everything is settled',
  step: 'what was done, in words',
  next: 'the team that an entity goes to',
  topics: 'what this process relays',
  subscriptions: 'what this process runs',
  signal: 'the signal that ends the process',
  url: 'where the process answers probes and shows its metrics',
  'error.code': 'the code of an error of docs/errors.md, of Node, or of Postgres (SQLSTATE)',
  'error.message': 'one line of words; never values',
} as const
export type LogField = keyof typeof LOG_FIELDS

export const LOG_EVENTS = {
  'comity.erasure.done': { level: 'info', message: 'an owner has erased a key: what was held of it is gone', fields: ['sender', 'job'] },
  'comity.request.not_told': {
    level: 'warn',
    message: 'what was decided about requests could not be told to their asker: it is tried again',
    fields: ['sender', 'error.code', 'error.message'],
  },
  'comity.request.outcome_not_handled': {
    level: 'warn',
    message: 'a handler of what an owner has decided failed: it is tried again, ever later',
    fields: ['type', 'message', 'attempt', 'error.code', 'error.message'],
  },
  'comity.history.lost': {
    level: 'warn',
    message:
      'an owner has lost a part of its history: what waited of that is discarded; what a handler had done for it stays, and somebody should look at it',
    fields: ['sender', 'subscription', 'handled', 'discarded', 'messages'],
  },
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
  'comity.entity.handed_over': { level: 'info', message: 'an entity was handed over, and every reader is told', fields: ['topic', 'next'] },
  'comity.entity.changed_hands': {
    level: 'info',
    message: 'another team speaks for an entity from now on',
    fields: ['subscription', 'topic', 'sender', 'next'],
  },
  'comity.entity.hand_over_ignored': {
    level: 'warn',
    message: 'a team handed over an entity that is not its own as far as is known here',
    fields: ['subscription', 'topic', 'sender', 'next'],
  },
  'comity.relay.leading': { level: 'info', message: 'leading: relaying from the checkpoint', fields: ['term', 'checkpoint'] },
  'comity.relay.following': { level: 'info', message: 'not leading any more', fields: ['term', 'reason'] },
  'comity.relay.not_admitted': {
    level: 'error',
    message: 'this process may not relay: its team moves between brokers, and it publishes to another one',
    fields: ['error.code', 'error.message'],
  },
  'comity.backfill.refused': {
    level: 'warn',
    message: 'another team asked for a backfill that it may not have; it was told why',
    fields: ['sender', 'subscription', 'error.code', 'error.message'],
  },
  'comity.backfill.stumbled': {
    level: 'warn',
    message: 'a stretch of a backfill failed; it is tried again from the last place that was saved',
    fields: ['subscription', 'job', 'error.code', 'error.message'],
  },
  'comity.backfill.not_asked': {
    level: 'warn',
    message: 'a backfill could not be asked for; it is asked for again',
    fields: ['subscription', 'job', 'failures', 'error.code', 'error.message'],
  },
  'comity.backfill.ended': { level: 'info', message: 'a backfill of a copy has ended', fields: ['subscription', 'job', 'state', 'reason'] },
  'comity.subscription.sent_back': {
    level: 'warn',
    message: 'this database has begun another life (it was restarted or restored): what it may have forgotten is received again',
    fields: ['subscription'],
  },
  'comity.subscription.not_sent_back': {
    level: 'error',
    message:
      'this database has begun another life, and the broker can not go back: if it was restored, what was acknowledged since is lost here; copies are audited',
    fields: ['subscription'],
  },
  'comity.audit.true': { level: 'info', message: 'an audit found a copy as its owner has it', fields: ['subscription', 'job', 'state'] },
  'comity.audit.repaired': {
    level: 'warn',
    message: 'an audit found keys of a copy that were not as its owner has them, and had them said anew; "comity audit status" names them',
    fields: ['subscription', 'job', 'state', 'reason'],
  },
  'comity.audit.not_true': {
    level: 'warn',
    message: 'an audit found a copy that differs from its owner, or could not tell; "comity audit status" names the keys',
    fields: ['subscription', 'job', 'state', 'reason'],
  },
  'comity.audit.stumbled': {
    level: 'warn',
    message: 'an audit was interrupted; it is begun anew',
    fields: ['subscription', 'job', 'error.code', 'error.message'],
  },
  'comity.audit.not_looked': {
    level: 'warn',
    message: 'whether the broker has removed messages that had not been received could not be looked at; it is looked again',
    fields: ['error.code', 'error.message'],
  },
  'comity.audit.not_answered': {
    level: 'warn',
    message: "a question of another team's audit could not be answered; it will be asked again",
    fields: ['subscription', 'error.code', 'error.message'],
  },
  'comity.move.not_marked': {
    level: 'warn',
    message: 'the new broker did not take a mark; it is sent again',
    fields: ['topic', 'error.code', 'error.message'],
  },
  'comity.move.not_looked': {
    level: 'warn',
    message: 'whether the new broker can be read could not be looked at; it is looked again, and the old one is read meanwhile',
    fields: ['subscription', 'error.code', 'error.message'],
  },
  'comity.move.switched': { level: 'info', message: 'reading at the new broker from now on', fields: ['subscription'] },
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
  'comity.message.not_put_aside': {
    level: 'warn',
    message: 'messages could not be put aside; they are handled in their turn',
    fields: ['subscription', 'error.code', 'error.message'],
  },
  'comity.breaker.opened': {
    level: 'error',
    message: 'the breaker has opened: the subscription is paused',
    fields: ['subscription', 'reason'],
  },
  'comity.breaker.closed': { level: 'info', message: 'the breaker has closed: messages succeed again', fields: ['subscription'] },
  'comity.job.ended': { level: 'info', message: 'a job has ended', fields: ['job', 'kind', 'state', 'reason'] },
  'comity.control.unverified': {
    level: 'warn',
    message: 'the broker can not say whether control is provisioned',
    fields: ['error.code', 'error.message'],
  },
  'comity.control.not_kept': {
    level: 'warn',
    message: 'control can not keep what it received, and will try again',
    fields: ['subscription', 'error.code', 'error.message'],
  },
  'comity.control.not_received': {
    level: 'warn',
    message: 'control can not receive, and will try again',
    fields: ['subscription', 'error.code', 'error.message'],
  },
  'comity.control.unreadable': {
    level: 'warn',
    message: 'what another team says of itself can not be read',
    fields: ['sender', 'type', 'error.code', 'error.message'],
  },
  'comity.control.not_sent': {
    level: 'warn',
    message: 'what this team says of itself can not be sent, and will be tried again',
    fields: ['kind', 'error.code', 'error.message'],
  },
  'comity.command.unreadable': {
    level: 'warn',
    message: 'a message on the topic of commands is none',
    fields: ['sender', 'error.code', 'error.message'],
  },
  'comity.command.refused': {
    level: 'warn',
    message: 'a command was refused: its sender may not give one to this team',
    fields: ['sender', 'error.code', 'error.message'],
  },
  'comity.command.newer': { level: 'warn', message: 'a command of a newer version is ignored: upgrade this team', fields: ['sender'] },
  'comity.command.invalid': { level: 'warn', message: 'a command can not be understood', fields: ['sender', 'reason'] },
  'comity.command.postponed': {
    level: 'warn',
    message: 'a command could not be carried out, and will be tried again',
    fields: ['command', 'error.code', 'error.message'],
  },
  'comity.command.not_answered': {
    level: 'warn',
    message: 'an answer could not be sent, and will be sent again',
    fields: ['command', 'error.code', 'error.message'],
  },
  'comity.transport.weak': { level: 'warn', message: 'the broker promises less than it could', fields: ['reason'] },
  'comity.transport.stalled': { level: 'warn', message: 'the broker had stopped to deliver', fields: ['subscription', 'reason'] },
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
