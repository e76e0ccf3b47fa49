/** What a team says of itself, and what it tells others to do. Each is a topic with one sending team, as all topics are. */
export type SystemKind = 'declaration' | 'heartbeat' | 'answer' | 'commands'

/** Who operates whom, as one team declares it. */
export interface Relations {
  readonly team: string
  /** The teams that this one hears and commands. */
  readonly operates: readonly string[]
  /** The teams whose commands this one obeys. */
  readonly operators: readonly string[]
}

export interface SystemSubscription {
  readonly name: string
  readonly topic: string
  /** The only team that may send there. */
  readonly sender: string
  readonly kind: SystemKind
}

/** `comity.crm.heartbeat`; no contract can have this name, because no team can be called comity. Without the namespace. */
export function systemTopic(team: string, kind: SystemKind): string {
  return `comity.${team}.${kind}`
}

/** The topics that this team sends to; the commands topic only where it gives commands. */
export function systemTopics({ team, operates }: Relations): readonly { readonly name: string; readonly team: string }[] {
  const kinds: readonly SystemKind[] = ['declaration', 'heartbeat', 'answer', ...(operates.length > 0 ? (['commands'] as const) : [])]
  return kinds.map((kind) => ({ name: systemTopic(team, kind), team }))
}

/** What this team reads: all that the teams it operates say, and the commands of those who operate it. */
export function systemSubscriptions({ team, operates, operators }: Relations): readonly SystemSubscription[] {
  const subscription = (sender: string, kind: SystemKind): SystemSubscription => ({
    name: `${team}.comity-${sender}-${kind}`,
    topic: systemTopic(sender, kind),
    sender,
    kind,
  })
  return [
    ...operates.flatMap((other) => (['declaration', 'heartbeat', 'answer'] as const).map((kind) => subscription(other, kind))),
    ...operators.map((other) => subscription(other, 'commands')),
  ]
}

/** Few messages, and all of a topic in order: one bucket costs the least. */
export const SYSTEM_BUCKETS = 1
