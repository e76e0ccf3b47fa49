import type { OutgoingMessage } from './transport.ts'

/** The highest `ce-comityversion` of a batch, 0 if none has one: what a fence remembers of a team. */
export function highestVersionIn(messages: readonly OutgoingMessage[]): number {
  let highest = 0
  for (const { attributes } of messages) {
    const version = Number(attributes['ce-comityversion'])
    if (Number.isSafeInteger(version) && version > highest) highest = version
  }
  return highest
}
