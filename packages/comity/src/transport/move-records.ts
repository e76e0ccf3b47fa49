/** How far the move of one subscription is. */
export interface MoveProgress {
  /** When this try to prove it began, RFC 3339; another text = it began anew. */
  readonly startedAt: string
  /** When, on the new broker's clock, a message was sent there that proves that the owner publishes to both; undefined = not seen yet. */
  readonly sentAt: Date | undefined
  /** Every process reads at the new broker. */
  readonly switched: boolean
  /** The subscription's run over history, as it was at this look; a switch counts only for the same. */
  readonly generation: number
}

/** What all processes of a team know together of its move. Each method is atomic, and durable when it resolves. */
export interface MoveRecords {
  /** Begins the subscription's part where it has not begun. */
  progress(subscription: string): Promise<MoveProgress>
  /** Those of them that are read at the new broker. */
  switched(subscriptions: readonly string[]): Promise<ReadonlySet<string>>
  /** Something sent at this time was seen at the new broker; nothing if the proof began anew meanwhile. */
  seen(subscription: string, sentAt: Date, since: MoveProgress): Promise<void>
  /** Everything older was handled through the old broker; nothing if the proof began anew, or the subscription goes back over history. */
  switch(subscription: string, since: MoveProgress): Promise<void>
  /** Begins the proof anew. Answers false where the subscription has switched already. */
  restart(subscription: string): Promise<boolean>
}
