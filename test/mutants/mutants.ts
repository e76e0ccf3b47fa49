import { COPIES } from './bugs/copies.ts'
import { HAND_OVERS } from './bugs/hand-overs.ts'
import { INCOMING } from './bugs/incoming.ts'
import { OUTGOING } from './bugs/outgoing.ts'
import { REQUESTS } from './bugs/requests.ts'
import type { Mutant } from './mutant.ts'

/** All of them; each breaks every guard that would make up for the others. */
export const MUTANTS: readonly Mutant[] = [...OUTGOING, ...INCOMING, ...COPIES, ...REQUESTS, ...HAND_OVERS]
