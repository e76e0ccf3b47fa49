import type { Declaration } from '../../catalog/declaration.ts'
import type { Environment } from '../../catalog/environment.ts'

/** What one look at a team's surroundings has found. */
export interface Finding {
  readonly level: 'ok' | 'warning' | 'error'
  readonly found: string
  /** What to do, word by word where a command can do it; null where nothing is to be done. */
  readonly remedy: string | null
}

/** One thing that the doctor looks at. Changes nothing. What it throws is an error of that name. */
export interface Check {
  readonly name: string
  look(declaration: Declaration, environment: Environment): Promise<readonly Finding[]>
}

export function ok(found: string): Finding {
  return { level: 'ok', found, remedy: null }
}
export function warning(found: string, remedy: string): Finding {
  return { level: 'warning', found, remedy }
}
export function error(found: string, remedy: string): Finding {
  return { level: 'error', found, remedy }
}
