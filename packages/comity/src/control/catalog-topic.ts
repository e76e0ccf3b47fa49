/**
 * Where every team says what it is, for every other (docs/decisions/0021-catalog.md): one topic that is nobody's own. Each team sends to it and
 * reads it, so a team that joins changes nothing at the others.
 */
export const CATALOG_TOPIC = 'comity.catalog'

/** No team can be called so: nobody speaks there but its senders. */
export const CATALOG_TEAM = 'comity'

/** Two dots: no subscription that a team declares has such a name. */
export function catalogSubscription(team: string): string {
  return `${team}.comity.catalog`
}
