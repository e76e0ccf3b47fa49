import { bucketOf } from '@comity/contract'
import { subscriptionsOf } from '../../catalog/declaration.ts'
import { compile } from '../../schema/index.ts'
import { editHead } from '../../subscription/line-acts.ts'
import { EditedDataDiffers, EditingIsOff } from '../errors.ts'
import type { Operation } from './operation.ts'
import { requireSubscription } from './require-subscription.ts'

export interface EditArguments {
  readonly subscription: string
  readonly key: string
  /** The id of the message that stands at the head of the key's line. */
  readonly message: string
  /** What takes the place of its data. Key and tenant stay what they are. */
  readonly data: unknown
}

/**
 * Puts other data in the place of a dead letter's, under a new id; the original is kept, and nothing runs yet: retry the key. Only
 * where the team's option `allowEdit` is on. Throws COMITY_EDITING_IS_OFF, COMITY_NOT_THE_HEAD, COMITY_EDITED_DATA_DIFFERS.
 */
export const editMessage: Operation<EditArguments> = {
  kind: 'edit-message',
  arguments: {
    type: 'object',
    properties: {
      subscription: { type: 'string', minLength: 1 },
      key: { type: 'string', minLength: 1 },
      message: { type: 'string', minLength: 1 },
      data: { type: 'object' },
    },
    required: ['subscription', 'key', 'message', 'data'],
    additionalProperties: false,
  },
  async run(sql, { declaration, environment, author, reason }, { subscription, key, message, data }) {
    if (!environment.allowEdit) throw new EditingIsOff({ team: declaration.team })
    await requireSubscription(sql, declaration.team, subscription)
    const contract = subscriptionsOf(declaration).find(({ name }) => name === subscription)?.contract
    const problem = contract === undefined ? undefined : compile(contract.schema).validate(data)
    if (problem !== undefined) throw new EditedDataDiffers({ problem: problem.message }, { path: problem.path })
    const { rows } = await sql.query<{ lanes: number }>('select lanes from comity.subscriptions where name = $1::text', [subscription])
    const lane = bucketOf(key, rows[0]?.lanes ?? 1)
    await sql.query('select from comity.lanes where subscription = $1::text and lane = $2::int for update', [subscription, lane])
    return { message: await editHead(sql, { subscription, key, message, data: JSON.stringify(data), author, reason }), insteadOf: message }
  },
}
