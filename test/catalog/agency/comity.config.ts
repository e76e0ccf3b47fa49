import { crm, marketing } from './teams.ts'

export default [crm(), marketing()]
