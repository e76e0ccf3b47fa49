import { readdirSync, readFileSync } from 'node:fs'

/** docs/errors.md, made from the registries of errors and from the codes that SQL raises. */
const packages = new URL('../../packages/', import.meta.url)

export interface RegisteredError {
  /** Below `packages/`. */
  readonly file: string
  /** The class. */
  readonly name: string
  readonly code: string
  readonly cause: string
  readonly remedy: string
}

interface Meaning {
  readonly cause: string
  readonly remedy: string
}

/** As `comity status` and `comity.withheld` show them; no error is thrown where nobody is there to catch it. */
export const withheldBecause: Readonly<Record<string, Meaning>> = {
  COMITY_INTEGER_UNSAFE: {
    cause: 'a number is beyond ±(2^53 − 1), and the contract says integer',
    remedy: 'correct the row, or make the field a string in the contract',
  },
  COMITY_NUMBER_NOT_FINITE: { cause: 'a number is NaN or infinite, which JSON does not have', remedy: 'correct the row' },
  COMITY_JSON_UNFIT: {
    cause: 'a JSON value holds what no column of a copy can keep: a NUL character, half of a surrogate pair, an endless number',
    remedy: 'correct the row',
  },
  COMITY_ARRAY_UNFIT: { cause: 'an array has more than one dimension', remedy: 'correct the row, or announce it as JSON by an expression' },
  COMITY_EXPRESSION_FAILED: {
    cause: "an expression of the option 'columns' could not be computed from this row, or has no form in JSON",
    remedy: 'correct the row or the expression',
  },
  COMITY_KEY_UNFIT: {
    cause: 'the key is empty, longer than 256 bytes, not NFC, or has a control character',
    remedy: 'correct the row; its key can not be announced',
  },
  COMITY_TENANT_UNFIT: {
    cause: 'the tenant is empty, longer than 256 bytes, not NFC, or has a control character',
    remedy: 'correct the row',
  },
  COMITY_STATE_TOO_LARGE: {
    cause: 'the state is larger than a message may be',
    remedy: 'make the row smaller, or leave the large field out of the contract',
  },
  COMITY_REFUSED_BY_BROKER: {
    cause: 'the broker will never take the message as it is',
    remedy: 'read the reason beside it; most often the message is larger than the broker allows',
  },
  COMITY_FOLLOWS_WITHHELD: {
    cause: 'an earlier event of the same key is withheld, and events of a key keep their order',
    remedy: 'put the earlier one right',
  },
  COMITY_HANDED_OVER: {
    cause: 'it was written here after the entity was handed over to another team',
    remedy: 'tell that team, or ask it for the change; here it is never published',
  },
}

/** What our SQL raises (SQLSTATE): Comity's own errors wrap it, and programs in other languages see it as it is. */
export const raisedBySql: Readonly<Record<string, Meaning>> = {
  CM001: { cause: 'this team does not publish the topic', remedy: 'declare it with .publishes(…) or .owns(…), and run "comity migrate"' },
  CM002: { cause: 'the entity is captured from a table', remedy: 'write that table instead of publishing' },
  CM003: {
    cause:
      'a key or a tenant is missing, or is not 1 to 256 bytes of text in Unicode form NFC without control characters, or a safe integer',
    remedy: 'put every key field, and the tenant, of the contract into the data',
  },
  CM004: {
    cause: 'the data is missing, too large, no JSON object, or lacks a required field',
    remedy: 'pass the JSON text of one object, with every field that the contract requires',
  },
  CM005: {
    cause: 'the headers are too large, or can not be attributes of a message',
    remedy: 'pass {"traceparent": "00-…"}, or extensions of your own: 1 to 20 lower-case letters and digits',
  },
  CM006: { cause: 'the kind does not fit the contract', remedy: "leave it out; only 'deleted' may be said, and only of an entity" },
  CM007: {
    cause: 'TRUNCATE of a captured table under an isolation level whose snapshot may not see all rows',
    remedy: 'use READ COMMITTED for it',
  },
  CM008: {
    cause: 'a row-level security policy hides rows of a captured table from Comity',
    remedy: 'exempt the owner of the table, or run "comity release" to go on without announcing it',
  },
  CM009: {
    cause: 'the contract view of a captured table is gone',
    remedy: 'run "comity migrate" to capture it again, or "comity release" to go on without announcing it',
  },
  CM010: {
    cause: 'an entity was published for later, or a time is more than ten years ahead or none at all',
    remedy: 'leave not_before out for entities; give a time within ten years',
  },
  CM011: {
    cause: 'states were given to be seeded of something that is no entity published by code',
    remedy: 'seed entities without a table; a captured table needs no seed, a backfill reads it',
  },
  CM012: {
    cause: 'a request was given an id that is none',
    remedy: 'take a UUID, or 1 to 64 letters, digits and the signs . _ : -; or leave it out',
  },
  CM013: {
    cause: 'this team has asked something else with this id of a request',
    remedy: 'take a new id for another request; the same request with the same id is asked once',
  },
  CM014: {
    cause: 'a request was to be withdrawn that this team does not know',
    remedy: 'pass the id that ask answered; what ended long ago is gone',
  },
  CM015: {
    cause: 'an entity can not be handed over: its reason is said',
    remedy: 'mend what it names, and run "comity hand-over give" again',
  },
  CM016: {
    cause: 'an entity can not be taken over yet: its reason is said',
    remedy: 'run "comity migrate" again when that is over',
  },
  CB001: { cause: 'the bus has no such topic', remedy: 'run "comity provision" of the team that owns it' },
  CB002: { cause: 'the bus has no such subscription', remedy: 'run "comity provision" of its team' },
  CB003: {
    cause: 'the role does not act for that team',
    remedy: 'connect as a role of that team; "comity migrate --roles" prints the statements',
  },
  CB004: {
    cause: 'a topic or a subscription exists already, and is another',
    remedy: 'give one of the two a name of its own, or remove the one that is there',
  },
}

/** In the order of docs/architecture.md; what is not named here comes last. */
const order = [
  'contract',
  ...[
    'foundation',
    'schema',
    'postgres',
    'transport',
    'outbox',
    'outbox/capture',
    'relay',
    'subscription',
    'replica',
    'control',
    'admin',
    'team',
    'testing',
  ].map((layer) => `comity/src/${layer}`),
  'cli',
  'nestjs',
  'embedded-postgres',
]

/** Every registry, in that order. */
export function registries(): readonly string[] {
  const rank = (file: string): number =>
    (order.findIndex((place) => [`${place}/errors.ts`, `${place}/src/errors.ts`].includes(file)) + order.length + 1) % (order.length + 1)
  return sourcesOf(/\.ts$/)
    .filter((file) => /^[^/]+\/src\/(.*\/)?errors\.ts$/.test(file))
    .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
}

export async function registeredErrors(file: string): Promise<readonly RegisteredError[]> {
  const exported = (await import(new URL(file, packages).href)) as Readonly<Record<string, unknown>>
  return Object.entries(exported).flatMap(([name, value]) => {
    const type = value as { readonly code?: unknown; readonly causeTemplate?: string; readonly remedyTemplate?: string }
    if (typeof value !== 'function' || typeof type.code !== 'string') return []
    return [{ file, name, code: type.code, cause: type.causeTemplate as string, remedy: type.remedyTemplate as string }]
  })
}

/** Paths below `packages/` of the sources of all packages. */
export function sourcesOf(extension: RegExp): readonly string[] {
  return readdirSync(packages, { recursive: true, encoding: 'utf8' }).filter(
    (path) => /^[^/]+\/(src|migrations)\//.test(path) && extension.test(path),
  )
}

export function sourceText(file: string): string {
  return readFileSync(new URL(file, packages), 'utf8')
}

export async function errorsPage(): Promise<string> {
  const sections: string[] = []
  for (const file of registries()) {
    const errors = [...(await registeredErrors(file))].sort((a, b) => (a.code < b.code ? -1 : 1))
    const path = `packages/${file}`
    sections.push(`## ${file.replace(/\/errors\.ts$/, '').replace(/\/src$/, '')}\n\n[${path}](../${path})\n\n${table(errors)}`)
  }
  const rows = (meanings: Readonly<Record<string, Meaning>>) =>
    table(Object.entries(meanings).map(([code, meaning]) => ({ code, ...meaning })))
  return `# Errors

Every error of Comity is a \`ComityError\`: a stable \`code\`, a cause, a \`remedy\` (what to do), and where they exist the \`path\` in the input and
the \`limit\` that was passed. Words in braces are filled in. This page lists them all and is made from the code: \`npx vitest run test/docs -u\`.

${sections.join('\n\n')}

## Withheld at the owner

Reasons beside a change in \`comity.withheld\`, as \`comity status\` shows them. A code of the tables above may stand there too.

${rows(withheldBecause)}

## Raised by SQL

What programs in other languages see as SQLSTATE, with a hint that says what to do. In TypeScript they are the cause of a typed error.

${rows(raisedBySql)}
`
}

function table(errors: readonly (Meaning & { readonly code: string })[]): string {
  const cell = (text: string): string =>
    text
      .replaceAll('|', '\\|')
      .replaceAll('<', '&lt;')
      .replace(/\s*\n\s*/g, ' ')
  return [
    '| code | cause | what to do |',
    '|---|---|---|',
    ...errors.map(({ code, cause, remedy }) => `| \`${code}\` | ${cell(cause)} | ${cell(remedy)} |`),
  ].join('\n')
}
