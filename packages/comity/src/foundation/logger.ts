/** What the library says, to whoever listens: it prints nothing itself. pino and console fit as they are. Never holds payloads. */
export interface Logger {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}
export type LogFields = Readonly<Record<string, unknown>>

const nothing = (): void => undefined
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }
