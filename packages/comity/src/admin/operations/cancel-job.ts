import { JobEnded, JobUnknown } from '../errors.ts'
import type { Operation } from './operation.ts'

/** Ends a job after the lines that are under way: what it has done stays done. */
export const cancelJob: Operation<{ readonly job: string }> = {
  kind: 'cancel-job',
  arguments: { type: 'object', properties: { job: { type: 'string' } }, required: ['job'], additionalProperties: false },
  async run(sql, _context, { job }) {
    const { rows } = await sql.query<{ state: string }>('select state from comity.jobs where id = $1::text for update', [job])
    const state = rows[0]?.state
    if (state === undefined) throw new JobUnknown({ job })
    if (state !== 'waiting' && state !== 'running') throw new JobEnded({ job, state })
    await sql.query('update comity.jobs set cancel_asked = true where id = $1::text', [job])
    return { job }
  },
}
