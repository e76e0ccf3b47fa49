/**
 * Where erasures are talked about (docs/decisions/0013-erasure.md):
 *
 *   comity.<owner>.erasures    what the owner has erased; every team that reads something of it hears that
 *   comity.<owner>.receipts    what those teams hold of it, and what they have removed; each of them sends, the owner reads
 */
export interface ErasureTopic {
  readonly name: string
  readonly team: string
  /** Who may send beside `team`. */
  readonly senders?: readonly string[]
}

/** What of a declaration decides about them. */
export interface ErasureDeclaration {
  readonly team: string
  readonly owns: readonly unknown[]
  readonly publishes: readonly unknown[]
  readonly keeps: readonly { readonly entity: { readonly owner: string } }[]
  readonly handles: readonly { readonly contract: { readonly owner: string } }[]
}

/** What is heard of an owner. Without the namespace, as all names here. */
export function erasuresTopic(owner: string): string {
  return `comity.${owner}.erasures`
}

/** What is said to an owner. */
export function receiptsTopic(owner: string): string {
  return `comity.${owner}.receipts`
}

/** Every topic that this team reads or sends to. */
export function erasureTopics(declaration: ErasureDeclaration): readonly ErasureTopic[] {
  const { team } = declaration
  return [
    ...(speaks(declaration)
      ? [
          { name: erasuresTopic(team), team },
          { name: receiptsTopic(team), team },
        ]
      : []),
    ...ownersOf(declaration).flatMap((owner) => [
      { name: erasuresTopic(owner), team: owner },
      { name: receiptsTopic(owner), team: owner, senders: [team] },
    ]),
  ]
}

/** What this team reads of them; `owner` is who is heard, undefined where this team itself is told. */
export function erasureSubscriptions(
  declaration: ErasureDeclaration,
): readonly { readonly name: string; readonly topic: string; readonly owner?: string }[] {
  const { team } = declaration
  return [
    ...(speaks(declaration) ? [{ name: `${team}.comity.receipts`, topic: receiptsTopic(team) }] : []),
    ...ownersOf(declaration).map((owner) => ({ name: `${team}.comity.erasures-${owner}`, topic: erasuresTopic(owner), owner })),
  ]
}

function speaks({ owns, publishes }: ErasureDeclaration): boolean {
  return owns.length + publishes.length > 0
}

/** The other teams of which it reads something. */
export function ownersOf({ team, keeps, handles }: Omit<ErasureDeclaration, 'owns' | 'publishes'>): readonly string[] {
  const owners = [...keeps.map(({ entity }) => entity.owner), ...handles.map(({ contract }) => contract.owner)]
  return [...new Set(owners)].filter((owner) => owner !== team)
}
