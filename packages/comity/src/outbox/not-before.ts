import { BadOption } from '../foundation/index.ts'

const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:[Zz]|[+-](\d\d):(\d\d))$/

/**
 * `notBefore` as Postgres reads it, to the microsecond: a text goes as it is. Whether it lies ahead, and not too far, the database says by
 * its own clock. Throws COMITY_BAD_OPTION for what is no point in time: no zone, no such day, an invalid Date.
 */
export function notBeforeText(given: Date | string): string {
  const text = given instanceof Date && !Number.isNaN(given.getTime()) ? given.toISOString() : given
  if (typeof text === 'string' && isPointInTime(text)) return text
  throw new BadOption(
    { option: 'publish.notBefore', expected: 'a Date, or a time in RFC 3339 with its zone, e.g. 2027-03-01T09:00:00+01:00' },
    { path: 'publish.notBefore' },
  )
}

/** Leap seconds are none; a zone is at most 15:59 away, as for Postgres; there is no year 0. */
function isPointInTime(text: string): boolean {
  const match = RFC_3339.exec(text)
  if (match === null) return false
  const [year, month, day, hour, minute, second, zoneHour, zoneMinute] = match.slice(1).map((part) => Number(part ?? 0)) as Numbers
  const daysInMonth = new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate()
  const isDate = year > 0 && month >= 1 && month <= 12 && day >= 1 && day <= daysInMonth
  return isDate && hour <= 23 && minute <= 59 && second <= 59 && zoneHour <= 15 && zoneMinute <= 59
}
type Numbers = [number, number, number, number, number, number, number, number]
