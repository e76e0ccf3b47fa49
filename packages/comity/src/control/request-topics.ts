/**
 * Where requests are talked about (docs/decisions/0019-requests.md):
 *
 *   <owner>.<request>                  what is asked; every team that asks sends, the owner reads with a subscription like every other
 *   comity.<asker>.outcomes-<owner>    what the owner has decided about it; only the owner sends, only that asker reads
 */
export interface RequestTopic {
  readonly name: string
  readonly team: string
  /** Who may send beside `team`. */
  readonly senders?: readonly string[]
}

/** What of a declaration decides about them. */
export interface RequestDeclaration {
  readonly team: string
  readonly asks: readonly { readonly name: string; readonly owner: string }[]
}

/** What one team hears from an owner. Without the namespace, as all names here. */
export function outcomesTopic(asker: string, owner: string): string {
  return `comity.${asker}.outcomes-${owner}`
}

/** Every topic that an asking team reads or sends to; what it answers is a subscription of the usual kind. */
export function requestTopics(declaration: RequestDeclaration): readonly RequestTopic[] {
  const { team, asks } = declaration
  return [
    ...asks.map(({ name, owner }) => ({ name, team: owner, senders: [team] })),
    ...ownersAsked(declaration).map((owner) => ({ name: outcomesTopic(team, owner), team: owner })),
  ]
}

/** Where an asking team hears what became of its requests. Two dots: no subscription that a team declares has such a name. */
export function outcomeSubscriptions(
  declaration: RequestDeclaration,
): readonly { readonly name: string; readonly topic: string; readonly owner: string }[] {
  const { team } = declaration
  return ownersAsked(declaration).map((owner) => ({ name: `${team}.comity.outcomes-${owner}`, topic: outcomesTopic(team, owner), owner }))
}

function ownersAsked({ asks }: RequestDeclaration): readonly string[] {
  return [...new Set(asks.map(({ owner }) => owner))]
}
