/**
 * SQL: a text that is another one after each registration of a contract or request. Read together with rows of the outbox it says which
 * registrations they may be of; read together with contracts, whether these are new enough for such rows.
 */
export const REGISTRATION_MARK = `(
  select coalesce(string_agg(format('%s %s', r.topic, r.xmin), ' ' order by r.topic), '')
  from (select c.topic, c.xmin from comity.contracts c union all select a.topic, a.xmin from comity.asks a) r)`
