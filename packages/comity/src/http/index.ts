export type { Check, Health } from './health.ts'
export { type Probed, probes } from './probes.ts'
