import type { Logger } from 'pino'

/** What `comity run` itself logs, beside the engine's own events; the fields are those of the engine's list. */
export const LOG_EVENTS = {
  'comity.running': { level: 'info', message: 'running', fields: ['topics', 'subscriptions'] },
  'comity.monitoring': { level: 'info', message: 'answering /livez, /readyz and /metrics', fields: ['url'] },
  'comity.stopping': { level: 'info', message: 'stopping: ending what is under way', fields: ['signal'] },
  'comity.stopped': { level: 'info', message: 'stopped', fields: [] },
} as const

export function logEvent(log: Logger, event: keyof typeof LOG_EVENTS, fields: object = {}): void {
  const { level, message } = LOG_EVENTS[event]
  log[level]({ event, ...fields }, message)
}
