/**
 * The one shape of every error that Comity raises: a stable code, a one-line cause, what to do about it,
 * and, where they exist, the path inside the input and the limit that was passed.
 *
 * Each layer keeps its errors in one `errors.ts`, made with {@link errorType}; `docs/errors.md` lists the
 * same set, and a test holds the two equal.
 */
export abstract class ComityError extends Error {
  abstract readonly code: string
  /** What the reader should do: a command, a line of configuration, a rule to follow. */
  readonly remedy: string
  /** Where in the input, e.g. `state.address.zip` or `config.lanes`. */
  readonly path?: string
  /** The limit that was passed, in words with its unit, e.g. `256 bytes`. */
  readonly limit?: string

  constructor(cause: string, remedy: string, details: ErrorDetails = {}) {
    super(`${cause}\n  What to do: ${remedy}`, details.cause === undefined ? undefined : { cause: details.cause })
    this.remedy = remedy
    if (details.path !== undefined) this.path = details.path
    if (details.limit !== undefined) this.limit = details.limit
  }
}

export interface ErrorDetails {
  readonly path?: string
  readonly limit?: string
  readonly cause?: unknown
}

/** One row of the registry of errors. */
export interface ErrorType<Words extends string> {
  new (words: Readonly<Record<Words, string | number>>, details?: ErrorDetails): ComityError
  readonly code: string
  readonly causeTemplate: string
  readonly remedyTemplate: string
}

/** The names between braces in a template: `'{table} has no key {key}'` → `'table' | 'key'`. Braces around anything else are text. */
type WordsOf<Template extends string> = Template extends `${string}{${infer Word}}${infer Rest}`
  ? (Word extends `${string}${' ' | ':' | '{'}${string}` ? never : Word) | WordsOf<Rest>
  : never

/**
 * Declares one error: its code, its cause and its remedy, both with `{words}` that the thrower fills in.
 *
 * @example
 * export const EntityIsCaptured = errorType('COMITY_ENTITY_IS_CAPTURED', '{entity} is captured from table {table}', 'write the table instead')
 * throw new EntityIsCaptured({ entity: 'crm.customer', table: 'customers' })
 */
export function errorType<const Cause extends string, const Remedy extends string>(
  code: `COMITY_${string}`,
  causeTemplate: Cause,
  remedyTemplate: Remedy,
): ErrorType<WordsOf<Cause> | WordsOf<Remedy>> {
  return class extends ComityError {
    static readonly code = code
    static readonly causeTemplate = causeTemplate
    static readonly remedyTemplate = remedyTemplate
    readonly code = code
    constructor(words: Readonly<Record<string, string | number>>, details: ErrorDetails = {}) {
      super(fill(causeTemplate, words), fill(remedyTemplate, words), details)
      this.name = 'ComityError'
    }
  }
}

function fill(template: string, words: Readonly<Record<string, string | number>>): string {
  return template.replace(/\{(\w+)\}/g, (_, word: string) => String(words[word] ?? `{${word}}`))
}
