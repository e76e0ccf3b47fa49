import { crm, EmailSent } from './teams.ts'

/** `journal` is what `mails` was. */
export default crm().on(EmailSent, async () => undefined, { name: 'journal' })
