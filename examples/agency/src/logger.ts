import type { Logger } from 'comity'

const ignore = (): void => undefined
const write =
  (level: string): Logger['warn'] =>
  (fields, message) => {
    process.stderr.write(`${JSON.stringify({ level, message, ...fields })}\n`)
  }

/** What a team's process says: warnings and errors, one JSON line each. A pino logger fits as it is. */
export const logger: Logger = { debug: ignore, info: ignore, warn: write('warn'), error: write('error') }
