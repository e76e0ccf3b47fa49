/**
 * Where a copy is talked about (docs/decisions/0011-copying-channel.md):
 *
 *   comity.<owner>.copying          what the teams that keep something of the owner's ask of it; each of them sends, the owner reads
 *   comity.<team>.copy-<replica>    what the owner says to one copy of that team; only the owner sends, only that team reads
 */
export interface CopyingTopic {
  readonly name: string
  readonly team: string
  /** Who may send beside `team`. */
  readonly senders?: readonly string[]
}

export interface CopyingSubscription {
  readonly name: string
  readonly topic: string
  /** The only team that is believed; undefined where each message names its own. */
  readonly sender?: string
  /** The copy that it is about, `<team>.<name>`; undefined where it is about any. */
  readonly replica?: string
}

/** What of a declaration decides about them. */
export interface CopyingDeclaration {
  readonly team: string
  readonly owns: readonly unknown[]
  readonly keeps: readonly { readonly name: string; readonly entity: { readonly owner: string; readonly former?: readonly string[] } }[]
}

/** What is asked of an owner. Without the namespace, as all names here. */
export function copyingTopic(owner: string): string {
  return `comity.${owner}.copying`
}

/** What an owner says to one copy; `replica` is `<team>.<name>`. */
export function copyTopic(replica: string): string {
  return `comity.${replica.replace('.', '.copy-')}`
}

/** Where a copy's team hears that. */
export function copyingSubscription(replica: string): string {
  return replica.replace('.', '.comity.copy-')
}

/** Every topic that this team reads or sends to. */
export function copyingTopics({ team, owns, keeps }: CopyingDeclaration): readonly CopyingTopic[] {
  return [
    ...(owns.length > 0 ? [{ name: copyingTopic(team), team }] : []),
    ...[...new Set(keeps.map(({ entity }) => entity.owner))].map((owner) => ({ name: copyingTopic(owner), team: owner, senders: [team] })),
    ...keeps.map(({ name, entity: { owner, former = [] } }) => ({
      ...{ name: copyTopic(name), team: former[0] ?? owner },
      ...(former.length === 0 ? {} : { senders: [owner] }),
    })),
  ]
}

/** Two dots: no subscription that a team declares has such a name. */
export function copyingSubscriptions({ team, owns, keeps }: CopyingDeclaration): readonly CopyingSubscription[] {
  return [
    ...(owns.length > 0 ? [{ name: `${team}.comity.copying`, topic: copyingTopic(team) }] : []),
    ...keeps.map(({ name, entity }) => ({
      name: copyingSubscription(name),
      topic: copyTopic(name),
      sender: entity.owner,
      replica: name,
    })),
  ]
}
