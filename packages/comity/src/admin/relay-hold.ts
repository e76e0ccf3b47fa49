import type { Environment } from '../catalog/environment.ts'

const RELEASE = `
  update comity.leases set holder = null, expires_at = '-infinity'
  where name = 'relay' and holder = $1::text and expires_at > clock_timestamp() returning name`

/** Lets a process of the team relay again. @returns false where the hold had ended by itself, so that one may be relaying already */
export async function releaseHold({ database }: Environment, hold: string): Promise<boolean> {
  return (await database.query(RELEASE, [hold])).rows.length > 0
}
