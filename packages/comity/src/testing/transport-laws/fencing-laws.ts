import assert from 'node:assert/strict'
import type { Guarantees } from '../../transport/guarantees.ts'
import type { Fence, ProvisionPlan, Transport } from '../../transport/transport.ts'
import { type Law, type LawContext, message, statuses } from './law.ts'

const exempts = (guarantees: Guarantees): string | undefined => (guarantees.fencing ? undefined : 'guarantees.fencing is false')
const withClaims = (guarantees: Guarantees): string | undefined => (guarantees.claims ? undefined : 'guarantees.claims is false')

async function sendAs(law: LawContext, transport: Transport, fence: Omit<Fence, 'team'>): Promise<string | undefined> {
  return statuses(await transport.send(law.topic, [message('k')], { fence: { team: law.team, ...fence } }))[0]
}

/** Zombies and clones are turned away. Terms are of one incarnation; incarnations are lives of a team's database. */
export const fencingLaws: readonly Law[] = [
  {
    name: 'a stale term is refused, and nothing of its batch is stored',
    exempts,
    async run(law) {
      const [old, young] = [await law.connect(), await law.connect()]
      const [a] = (await law.provision(old, ['a'])) as [string]
      assert.equal(await sendAs(law, old, { incarnation: 10, term: 1, holder: 'p1' }), 'stored')
      assert.equal(await sendAs(law, old, { incarnation: 10, term: 1, holder: 'p1' }), 'stored')
      assert.equal(await sendAs(law, young, { incarnation: 10, term: 2, holder: 'p2' }), 'stored')
      assert.equal(await sendAs(law, old, { incarnation: 10, term: 1, holder: 'p1' }), 'stale')
      assert.equal(await sendAs(law, young, { incarnation: 10, term: 2, holder: 'p2' }), 'stored')
      const observer = law.observe(young, a)
      const marker = message('k')
      await young.send(law.topic, [marker])
      await law.eventually('the marker arrives', () => observer.acknowledged.has(marker.id))
      // A broker may give out again what it has, and says so; what was refused, it does not have.
      assert.equal(observer.seen.filter(({ redelivered }) => !redelivered).length, 5)
      assert.equal(new Set(observer.seen.map(({ message: { id } }) => id)).size, 5)
    },
  },
  {
    name: 'a lower incarnation is refused, whatever its term',
    exempts,
    async run(law) {
      const transport = await law.connect()
      await law.provision(transport, [])
      assert.equal(await sendAs(law, transport, { incarnation: 20, term: 1, holder: 'p1' }), 'stored')
      assert.equal(await sendAs(law, transport, { incarnation: 19, term: 9, holder: 'p1' }), 'stale')
      const claim = await transport.claim?.({ team: law.team, incarnation: 19, holder: 'p1' })
      assert.equal(claim?.status, 'refused')
    },
  },
  {
    name: 'a clone of a live team is refused, and told who lives',
    exempts: withClaims,
    async run(law) {
      const [live, clone] = [await law.connect(), await law.connect()]
      await law.provision(live, [])
      assert.equal((await live.claim?.({ team: law.team, incarnation: 30, holder: 'live' }))?.status, 'granted')
      const refused = await clone.claim?.({ team: law.team, incarnation: 31, holder: 'clone' })
      assert.ok(refused?.status === 'refused')
      assert.deepEqual(refused.incumbent, { team: law.team, incarnation: 30, holder: 'live' })
      assert.ok(refused.silentFor >= 0 && refused.silentFor < 60_000)
      if (law.guarantees.fencing) assert.equal(await sendAs(law, clone, { incarnation: 31, term: 5, holder: 'clone' }), 'stale')
      assert.equal(await sendAs(law, live, { incarnation: 30, term: 1, holder: 'live' }), 'stored')
    },
  },
  {
    name: 'another process of the same incarnation is welcome',
    exempts: withClaims,
    async run(law) {
      const [first, second] = [await law.connect(), await law.connect()]
      await law.provision(first, [])
      assert.equal((await first.claim?.({ team: law.team, incarnation: 35, holder: 'p1' }))?.status, 'granted')
      assert.equal((await second.claim?.({ team: law.team, incarnation: 35, holder: 'p2' }))?.status, 'granted')
    },
  },
  {
    name: "a process that survived its database's restart goes on at once",
    exempts: withClaims,
    async run(law) {
      const transport = await law.connect()
      await law.provision(transport, [])
      assert.equal((await transport.claim?.({ team: law.team, incarnation: 40, holder: 'p1' }))?.status, 'granted')
      assert.equal(await sendAs(law, transport, { incarnation: 40, term: 7, holder: 'p1' }), 'stored')
      assert.equal((await transport.claim?.({ team: law.team, incarnation: 41, holder: 'p1' }))?.status, 'granted')
      // Terms start anew in a new incarnation.
      assert.equal(await sendAs(law, transport, { incarnation: 41, term: 1, holder: 'p1' }), 'stored')
      if (law.guarantees.fencing) assert.equal(await sendAs(law, transport, { incarnation: 40, term: 8, holder: 'p1' }), 'stale')
    },
  },
  {
    name: 'after a clean close the next incarnation goes on at once',
    exempts: withClaims,
    async run(law) {
      const [first, second] = [await law.connect(), await law.connect()]
      await law.provision(first, [])
      assert.equal((await first.claim?.({ team: law.team, incarnation: 50, holder: 'p1' }))?.status, 'granted')
      await first.close()
      assert.equal((await second.claim?.({ team: law.team, incarnation: 51, holder: 'p2' }))?.status, 'granted')
    },
  },
  {
    name: 'a stranger succeeds an incarnation that has fallen silent',
    exempts: withClaims,
    async run(law) {
      const [first, second] = [await law.connect(), await law.connect()]
      await law.provision(first, [])
      await first.claim?.({ team: law.team, incarnation: 60, holder: 'p1' })
      const began = performance.now()
      await law.eventually(
        'it is granted',
        async () => (await second.claim?.({ team: law.team, incarnation: 61, holder: 'p2' }))?.status === 'granted',
      )
      assert.ok(performance.now() - began >= law.claimSilence * 0.8, 'not before the silence was over')
    },
  },
  {
    name: 'a claim says the highest version that was ever seen of the team',
    exempts,
    async run(law) {
      const transport = await law.connect()
      await law.provision(transport, [])
      const claim = async (): Promise<unknown> => transport.claim?.({ team: law.team, incarnation: 70, holder: 'p1' })
      assert.deepEqual(await claim(), { status: 'granted', highestVersion: 70 })
      const fence = { team: law.team, incarnation: 70, term: 1, holder: 'p1' }
      await transport.send(law.topic, [message('k', '{}', { 'ce-comityversion': '90071992547' }), message('k')], { fence })
      await transport.send(law.topic, [message('k', '{}', { 'ce-comityversion': '71' })], { fence })
      assert.deepEqual(await claim(), { status: 'granted', highestVersion: 90_071_992_547 })
    },
  },
  {
    name: 'other teams send to a topic only where a plan has named them, and a later plan takes nobody’s right',
    exempts,
    async run(law) {
      const transport = await law.connect()
      const [first, second] = [`${law.team}-x`, `${law.team}-y`]
      const topic = `${law.topic}.asked`
      const plan = (senders: readonly string[]): ProvisionPlan => ({
        topics: [{ name: topic, team: law.team, buckets: 1, ...(senders.length === 0 ? {} : { senders }) }],
        subscriptions: [],
      })
      const sendAsTeam = async (team: string): Promise<string | undefined> =>
        statuses(await transport.send(topic, [message('k')], { fence: { team, incarnation: 10, term: 1, holder: team } }))[0]
      await transport.provision(plan([first]))
      assert.equal(await sendAsTeam(law.team), 'stored')
      assert.equal(await sendAsTeam(first), 'stored')
      await assert.rejects(sendAsTeam(second), { code: 'COMITY_TRANSPORT_FORBIDDEN' })
      assert.deepEqual(
        (await transport.provision(plan([second]), { dryRun: true })).map(({ action, name }) => [action, name]),
        [['update-topic', topic]],
      )
      await transport.provision(plan([second]))
      await transport.provision(plan([]))
      assert.deepEqual(await transport.provision(plan([first, second])), [])
      const sender = await law.connect() // as any process that starts after the grant
      for (const team of [first, second])
        assert.equal(
          statuses(await sender.send(topic, [message('k')], { fence: { team, incarnation: 10, term: 1, holder: team } }))[0],
          'stored',
        )
    },
  },
]
