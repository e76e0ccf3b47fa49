import type { ConsumerVerdict, ContractCheck, Reason } from 'comity/admin'
import { printable } from '../../cell.ts'

/** What becomes of a contract, in a line. */
export function changeWords({ state, changes }: ContractCheck): string {
  if (state === 'new') return 'new'
  if (state === 'removed') return 'no longer in the code'
  if (changes.length === 0) return state === 'unchanged' ? 'unchanged' : 'changed, and its data is as before'
  return changes
    .map(({ field, change, wider, narrower }) => {
      const name = field === '' ? 'the whole' : field
      if (change !== 'changed') return `${name} ${change}`
      return `${name} ${wider && narrower ? 'takes other values' : wider ? 'takes more' : 'takes less'}`
    })
    .join(', ')
}

export function consumerWords({ kind, subscription, team, contact }: ConsumerVerdict): string {
  const who = subscription === null ? `${team}, which asks it` : `${subscription}, a ${kind} of ${team}`
  return `${who}${contact === null ? '' : ` (ask ${printable(contact)})`}`
}

export function reasonWords({ path, reason }: Reason): string {
  return path === '' ? reason : `${path}: ${reason}`
}
