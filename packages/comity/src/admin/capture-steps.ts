import type { Declaration } from '../catalog/declaration.ts'
import type { Queryable } from '../postgres/index.ts'
import type { Step } from './registration.ts'

/** The capture of each owned table, where it is not installed as this code wants it. */
export async function captureSteps(_database: Queryable, _declaration: Declaration): Promise<readonly Step[]> {
  return []
}
