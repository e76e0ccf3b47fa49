import type { Delivery } from '../../transport/transport.ts'
import type { Chance } from './chance.ts'

/** Moves messages forward past those of other keys, never past one of their own. */
export function overtake(deliveries: readonly Delivery[], distance: number, chance: Chance): Delivery[] {
  const moved = [...deliveries]
  for (let from = 1; from < moved.length; from++) {
    if (chance.happens(0.5)) continue
    const one = moved[from] as Delivery
    let to = from
    const least = Math.max(0, from - Math.floor(chance.next() * distance))
    while (to > least && moved[to - 1]?.message.key !== one.message.key) to--
    moved.splice(from, 1)
    moved.splice(to, 0, one)
  }
  return moved
}
