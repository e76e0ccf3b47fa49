import { crm, EmailSent } from './teams.ts'

/** Declares what newer code does not any more. */
export default crm()
  .on(EmailSent, async () => undefined, { name: 'audit' })
  .on(EmailSent, async () => undefined, { name: 'mails' })
