import { InvalidName, NameCollision, NameTooLong, ReservedName } from './errors.ts'

/** Postgres truncates longer identifiers without a word; brokers allow more. */
export const MAX_NAME_BYTES = 63
/** Leaves room for what is built from it: roles, subscriptions, message ids. */
export const MAX_TEAM_BYTES = 32
export const RESERVED_TEAM = 'comity'

const SEGMENT = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/

/** Checks the name of a contract, `<team>.<thing>`. */
export function checkName(name: string): void {
  check('contract', name, 2, '<team>.<thing>', 'shorten it')
}

/** Checks the name of a team: one segment of at most 32 bytes. */
export function checkTeamName(name: string): void {
  check('team', name, 1, '<team>', 'shorten it', MAX_TEAM_BYTES)
}

/** Checks the name of a subscription, `<team>.<name>`, and, if a team is given, that it is this team's. */
export function checkSubscriptionName(name: string, team?: string): void {
  check('subscription', name, 2, '<team>.<name>', 'give the subscription a shorter `name`')
  if (team !== undefined && ownerPart(name) !== team) {
    throw new InvalidName({
      kind: 'subscription',
      name: shown(name),
      problem: `does not start with its team's name`,
      shape: `${team}.<name>`,
    })
  }
}

/** Checks one segment, e.g. the name of an audience. */
export function checkSegment(kind: string, name: string): void {
  check(kind, name, 1, `<${kind}>`, 'shorten it')
}

/** The part before the first dot: the owner, unless `owner:` says otherwise. */
export function ownerPart(name: string): string {
  const dot = name.indexOf('.')
  return dot < 0 ? name : name.slice(0, dot)
}

/** What a subscription is called unless its team says otherwise: `crm` + `marketing.email-sent` → `crm.marketing-email-sent`. */
export function defaultSubscriptionName(team: string, contract: { readonly name: string }): string {
  checkTeamName(team)
  const name = `${team}.${contract.name.replaceAll('.', '-')}`
  checkSubscriptionName(name, team)
  return name
}

/**
 * Refuses two things of one name. Default names can collide: `crm-a.b` and `crm.a-b` both give `team.crm-a-b`.
 * @param of what each name stands for, in words for the error
 */
export function checkDistinct(kind: string, names: Iterable<{ readonly name: string; readonly of: string }>): void {
  const seen = new Map<string, string>()
  for (const { name, of } of names) {
    const first = seen.get(name)
    if (first !== undefined) throw new NameCollision({ kind, name, first, second: of })
    seen.set(name, of)
  }
}

function check(kind: string, name: string, segments: number, shape: string, advice: string, limit: number = MAX_NAME_BYTES): void {
  const problem = problemOf(name, segments)
  if (problem !== undefined) throw new InvalidName({ kind, name: shown(name), problem, shape })
  if (name.length > limit) {
    throw new NameTooLong({ kind, name: shown(name), bytes: name.length, limit, advice }, { limit: `${limit} bytes` })
  }
  if (ownerPart(name) === RESERVED_TEAM) throw new ReservedName({ kind, name })
}

function problemOf(name: unknown, segments: number): string | undefined {
  if (typeof name !== 'string') return 'is not a string'
  if (name === '') return 'is empty'
  const parts = name.split('.')
  if (parts.every((part) => SEGMENT.test(part)) && parts.length === segments) return undefined
  if (name.includes('..')) return 'contains ".."'
  if (/[A-Z]/.test(name)) return 'contains capitals'
  const strange = /[^a-z0-9.-]/u.exec(name)
  if (strange !== null) return `contains ${JSON.stringify(strange[0])}`
  if (parts.some((part) => part === '')) return 'starts or ends with a dot'
  if (parts.length !== segments) return `has ${parts.length} ${parts.length === 1 ? 'part' : 'parts'} between dots, not ${segments}`
  return 'has a part that starts with a digit, or a hyphen that is doubled or at an edge'
}

/** A name as it can stand in an error: escaped, and not longer than a line. */
function shown(name: unknown): string {
  const text = typeof name === 'string' ? JSON.stringify(name) : typeof name
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}
