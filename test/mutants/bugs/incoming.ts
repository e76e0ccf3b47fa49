import { comity, type Mutant } from '../mutant.ts'

/** From the broker to the handler: inbox, lanes, lines, pauses, tenants. */
export const INCOMING: readonly Mutant[] = [
  {
    name: 'acknowledge before commit',
    harm: 'a consumer that dies has told the broker of an effect that is nowhere',
    caughtBy: { stage: 'handlers' },
    edits: [
      {
        file: `${comity}/subscription/lane.ts`,
        find: `    let begun: Message | undefined
`,
        replace: `    let begun: Message | undefined
    for (const item of items) this.#answer(item, 'ack')
    await new Promise((resolve) => setTimeout(resolve, 10))
`,
      },
    ],
  },
  {
    name: 'inbox in a transaction of its own',
    harm: 'a message counts as done whose effect was rolled back',
    caughtBy: { stage: 'handlers' },
    edits: [
      {
        file: `${comity}/subscription/lane-work.ts`,
        find: 'generation, attempt, tx, sql, signal, mayBegin',
        replace: 'generation, attempt, tx, sql: this.#options.database, signal, mayBegin',
      },
    ],
  },
  {
    name: 'no inbox',
    harm: 'what the broker delivers again has its effect again',
    caughtBy: { stage: 'handlers' },
    edits: [
      {
        file: `${comity}/subscription/inbox.ts`,
        find: `    return new Set(rows.map((row) => row.message))
  } catch`,
        replace: `    return new Set([...rows.map((row) => row.message), ...messages.map(({ envelope }) => envelope.id)])
  } catch`,
      },
    ],
  },
  {
    name: "COMMIT's tag ignored",
    harm: 'a handler that caught an SQL error is acknowledged with nothing committed',
    caughtBy: { stage: 'handlers' },
    edits: [
      {
        file: `${comity}/postgres/pg-handle.ts`,
        find: `if (command !== 'COMMIT') throw new TransactionRolledBack({})`,
        replace: `if (command === '') throw new TransactionRolledBack({})`,
      },
      {
        file: `${comity}/subscription/lane-transaction.ts`,
        find: `        failed,
      ])
      return outcomes`,
        replace: `        failed,
      ]).catch(() => undefined)
      return outcomes`,
      },
    ],
  },
  {
    name: 'skipping over a parked key',
    harm: 'later messages of a key have their effect while an earlier one waits',
    caughtBy: { stage: 'lines' },
    edits: [
      {
        file: `${comity}/subscription/lane-work.ts`,
        find: 'if (waiting.has(incoming.key) || held.has(incoming.key)) return false',
        replace: 'if (held.has(incoming.key)) return false',
      },
    ],
  },
  {
    name: 'a key released beside an append',
    harm: 'a message joins a line that is just being given up, and is never run',
    caughtBy: { stage: 'lines' },
    edits: [
      {
        file: `${comity}/subscription/lane-transaction.ts`,
        find: 'where subscription = $1::text and lane = $2::int for update',
        replace: 'where subscription = $1::text and lane = $2::int',
      },
      { file: `${comity}/subscription/line-run.ts`, find: 'and k.key = $2::text for update`', replace: 'and k.key = $2::text`' },
    ],
  },
  {
    name: 'a line in the order of texts',
    harm: 'its cursor passes messages that have not run',
    caughtBy: { stage: 'lines' },
    edits: [
      {
        file: `${comity}/subscription/line-run.ts`,
        find: 'and key = $2::text and seq > $3::text::bigint order by w.seq limit 1',
        replace: 'and key = $2::text and seq > $3::text::bigint order by seq limit 1',
      },
    ],
  },
  {
    name: 'a restored consumer stays where it is at the broker',
    harm: 'what it had acknowledged after the copy of its files was taken has no effect any more',
    caughtBy: {
      test: 'test/chaos/restores.test.ts',
      title: 'what they had acknowledged since is received again, has its effect once, and copies are compared',
    },
    edits: [
      {
        file: `${comity}/subscription/seek.ts`,
        find: 'else await transport.seek(brokerName, await backTo(',
        replace: "else if (brokerName === '') await transport.seek(brokerName, await backTo(",
      },
    ],
  },
  {
    name: 'what a lost history wrote is only looked at',
    harm: 'copies of an owner that was restored keep what it never had',
    caughtBy: {
      test: 'packages/comity/test/audit/audit.test.ts',
      title: 'a copy is compared by itself, and repaired, when its owner, or its own team, has begun another life',
    },
    edits: [
      {
        file: `${comity}/audit/wanted.ts`,
        find: 'select $1::text, true, $2::text, $3::text, $4::text',
        replace: 'select $1::text, false, $2::text, $3::text, $4::text',
      },
    ],
  },
  {
    name: 'no tombstones',
    harm: 'a state that comes after its deletion brings the row back',
    caughtBy: { stage: 'copies' },
    edits: [
      {
        file: `${comity}/replica/replica-sql.ts`,
        find: 'and not exists (select from comity.tombstones t where t.replica = $4::text and t.key = i.key and t.version >= i.version)',
        replace: 'and $4::text is not null',
      },
    ],
  },
  {
    name: 'the last to arrive wins',
    harm: 'an older state takes the place of a newer one',
    caughtBy: { stage: 'copies' },
    edits: [
      { file: `${comity}/replica/replica-sql.ts`, find: ` where r.\${VERSION_COLUMN} < excluded.\${VERSION_COLUMN}\``, replace: '`' },
    ],
  },
  {
    name: 'no lane lock',
    harm: 'an older state and a tombstone pass each other in two transactions',
    caughtBy: { stage: 'copies' },
    edits: [
      {
        file: `${comity}/subscription/lane-transaction.ts`,
        find: 'where subscription = $1::text and lane = $2::int for update',
        replace: 'where subscription = $1::text and lane = $2::int',
      },
    ],
  },
  {
    name: 'retry of dead letters straight to the handler',
    harm: 'a message whose effect has happened, and that was delivered again and joined a line, has it twice',
    caughtBy: { stage: 'lines' },
    edits: [
      {
        file: `${comity}/subscription/handler.ts`,
        find: 'if (fresh.delete(message.envelope.id)) {',
        replace: 'if (fresh.delete(message.envelope.id) || batch.mayBegin === undefined) {',
      },
      { file: `${comity}/subscription/lane-work.ts`, find: 'if (done?.has(incoming.id)) {', replace: 'if (done?.has(incoming.key)) {' },
    ],
  },
  {
    name: 'skip without a record',
    harm: 'a message that an operator skipped is nowhere',
    caughtBy: { stage: 'lines' },
    edits: [
      {
        file: `${comity}/subscription/line-acts.ts`,
        find: '$6::text, $7::text from ended',
        replace: '$6::text, $7::text from ended where false',
      },
    ],
  },
  {
    name: 'gate ignores pauses',
    harm: 'messages of a tenant are handled after it was paused',
    caughtBy: { test: 'packages/comity/test/admin/pause.test.ts', title: 'a paused tenant under load' },
    edits: [
      {
        file: `${comity}/subscription/gate.ts`,
        find: 'and p.tenant = any ($3::text::text[])) as paused',
        replace: 'and p.tenant = any ($3::text::text[]) and false) as paused',
      },
      { file: `${comity}/subscription/subscription.ts`, find: 'pausedTenants.has(tenant))', replace: 'pausedTenants.size < 0)' },
    ],
  },
  {
    name: 'jobs retry what they have tried already',
    harm: 'a job over lines that fail again never ends',
    caughtBy: { test: 'packages/comity/test/admin/lines.test.ts', title: 'a job tries each line once' },
    edits: [
      {
        file: `${comity}/admin/jobs/job-runner.ts`,
        find: 'and k.tried_at < $9::text::timestamptz order by',
        replace: `and k.tried_at < $9::text::timestamptz + interval '1 day' order by`,
      },
    ],
  },
  {
    name: 'breaker by absolute count',
    harm: 'a few bad messages among many pause the subscription',
    caughtBy: { test: 'packages/comity/test/admin/pause.test.ts', title: 'a few bad messages are no bad deploy' },
    edits: [
      {
        file: `${comity}/subscription/breaker.ts`,
        find: 'if (ended < atLeast || failed <= ended * share) return undefined',
        replace: 'if (failed <= atLeast * share) return undefined',
      },
    ],
  },
  {
    name: 'first come, first served',
    harm: 'everybody waits behind a tenant that floods',
    caughtBy: { test: 'packages/comity/test/subscription/fairness.test.ts', title: 'a tenant floods' },
    edits: [
      {
        file: `${comity}/subscription/fair-queue.ts`,
        find: `    const tenant = item.tenant ?? ''`,
        replace: `    const tenant = ''`,
      },
    ],
  },
  {
    name: 'nobody makes room',
    harm: "a tenant that floods fills what is taken from the broker, and the others' messages stay there",
    caughtBy: { test: 'packages/comity/test/subscription/fairness.test.ts', title: 'a tenant floods' },
    edits: [
      {
        file: `${comity}/subscription/tenant-shares.ts`,
        find: 'if (this.#makingRoom ||',
        replace: 'if (prefetch > 0 || this.#makingRoom ||',
      },
    ],
  },
]
