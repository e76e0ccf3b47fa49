import 'reflect-metadata'
import { once } from 'node:events'
import { event } from '@comity/contract'
import { type BeforeApplicationShutdown, Injectable, type ModuleMetadata, Scope, type Type } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { type Team, type TeamContext, team } from 'comity'
import { fromPg } from 'comity/pg'
import { testBus } from 'comity/testing'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../test/support/postgres.ts'
import { ComityModule, InjectTeam, On, teamToken } from '../src/index.ts'

const data = z.object({ orderId: z.string() })
const OrderPlaced = event('shop.order-placed', { key: 'orderId', data })
const OrderShipped = event('shop.order-shipped', { key: 'orderId', data })
const MailSent = event('mail.mail-sent', { key: 'orderId', data })
type Placed = { readonly data: z.infer<typeof data> }
type Context = TeamContext<pg.PoolClient>

const bus = testBus()
let shopPool: pg.Pool
let mailPool: pg.Pool

beforeAll(async () => {
  const [shop, mail] = await Promise.all([freshDatabase(), freshDatabase()])
  shopPool = new pg.Pool({ connectionString: shop.url })
  mailPool = new pg.Pool({ connectionString: mail.url })
  await shopPool.query('create table orders (id text primary key)')
  await mailPool.query('create table mails (order_id text primary key, sender text not null)')
})
afterAll(() => Promise.all([shopPool.end(), mailPool.end()]))

/** Of an application each: what is declared stays with the value. */
const options = { autoMigrate: true, allowUnsafe: true }
const shopTeam = (): Team<pg.PoolClient> =>
  team('shop', { ...options, database: fromPg(shopPool), transport: bus.memory.connect() })
    .publishes(OrderPlaced)
    .publishes(OrderShipped)
const mailTeam = (): Team<pg.PoolClient> =>
  team('mail', { ...options, database: fromPg(mailPool), transport: bus.memory.connect() }).publishes(MailSent)

@Injectable()
class Sender {
  readonly name = 'postmaster'
}

@Injectable()
class Orders {
  @InjectTeam('shop') readonly shop!: Team<pg.PoolClient>
  readonly mailed: string[] = []

  async place(orderId: string, fail = false): Promise<void> {
    await this.shop.environment.database.transaction(async (tx) => {
      await tx.query('insert into orders values ($1)', [orderId])
      await this.shop.publish(tx, OrderPlaced, { orderId })
      if (fail) throw new RangeError(orderId)
    })
  }

  @On(MailSent, { team: 'shop' })
  mailSent({ data: { orderId } }: Placed): void {
    this.mailed.push(orderId)
  }
}

class Mailer {
  readonly sender: Sender
  tries = 0
  constructor(sender: Sender) {
    this.sender = sender
  }

  @On(OrderPlaced, { team: 'mail', attempts: 2 })
  async orderPlaced({ data: { orderId } }: Placed, { tx, publish, attempt }: Context): Promise<void> {
    this.tries++
    await tx.query('insert into mails values ($1, $2)', [orderId, this.sender.name])
    await publish(MailSent, { orderId })
    if (orderId === 'unlucky' && attempt === 1) throw new RangeError('the first try fails on purpose')
  }
}

/** Not a class of the container: a factory makes it. */
const mailer = { provide: Mailer, useFactory: (sender: Sender) => new Mailer(sender), inject: [Sender] }

function application(metadata: ModuleMetadata): Promise<Awaited<ReturnType<typeof NestFactory.createApplicationContext>>> {
  const module = class Application {}
  return NestFactory.createApplicationContext({ module, ...metadata }, { logger: false, abortOnError: false })
}

describe('an application with two teams', () => {
  const bothTeams = (): ModuleMetadata => ({
    imports: [
      ComityModule.forRoot({ team: shopTeam(), name: 'shop' }),
      ComityModule.forRootAsync({ name: 'mail', useFactory: async () => mailTeam() }),
    ],
    providers: [Orders, mailer, Sender, { provide: 'Other name', useExisting: Mailer }],
  })

  test('publishes in the own transaction, and its methods handle, with what is injected; a failed attempt leaves nothing', async () => {
    const app = await application(bothTeams())
    const orders = app.get(Orders)
    await orders.place('lucky')
    await orders.place('unlucky')
    await expect(orders.place('refused', true)).rejects.toThrow(new RangeError('refused'))
    await settled(app)
    expect((await mailPool.query('select order_id, sender from mails order by 1')).rows).toEqual([
      { order_id: 'lucky', sender: 'postmaster' },
      { order_id: 'unlucky', sender: 'postmaster' },
    ])
    expect(orders.mailed.sort()).toEqual(['lucky', 'unlucky'])
    expect(app.get(Mailer).tries).toBe(3)
    await app.close()
  })

  test('runs until it is closed, and not after', async () => {
    const app = await application(bothTeams())
    const orders = app.get(Orders)
    await orders.place('early')
    expect(await orders.shop.drained()).toBeGreaterThan(0)
    await app.close()
    expect(await orders.shop.drained()).toBe(0) // nothing relays here any more
    expect(app.get<Team>(teamToken('mail')).declaration.handles).toMatchObject([{ name: 'mail.shop-order-placed', retry: { attempts: 2 } }])
  })
})

test('a process that does not start the team publishes, and runs nothing', async () => {
  const app = await application({ imports: [ComityModule.forRoot({ team: shopTeam(), name: 'shop', start: false })], providers: [Orders] })
  await app.get(Orders).place('quiet')
  const { declaration } = app.get(Orders).shop
  expect(declaration.handles.map(({ name }) => name)).toEqual(['shop.mail-mail-sent'])
  expect(await app.get(Orders).shop.drained()).toBe(0)
  await app.close()
})

test('handlers are drained while what they use is still open', async () => {
  const ends: string[] = []
  @Injectable()
  class Pool implements BeforeApplicationShutdown {
    beforeApplicationShutdown(): void {
      ends.push('pool ended')
    }
  }
  let begun = (): void => undefined
  const handling = new Promise<void>((resolve) => {
    begun = resolve
  })
  @Injectable()
  class Patient {
    @On(OrderShipped)
    async shipped(_: Placed, { signal }: Context): Promise<void> {
      begun()
      await once(signal, 'abort') // when the team stops, not before
      ends.push('handled')
    }
  }
  const mail = mailTeam()
  const app = await application({ imports: [ComityModule.forRoot({ team: mail })], providers: [Patient, Pool] })
  const shop = shopTeam()
  await shop.start()
  await shop.environment.database.transaction((tx) => shop.publish(tx, OrderShipped, { orderId: 'slow' }))
  await handling
  await app.close()
  expect(ends).toEqual(['handled', 'pool ended'])
  await shop.stop()
})

describe('refuses, with what to do', () => {
  const placed = (scope: Scope): Type => {
    @Injectable({ scope })
    class Scoped {
      @On(OrderPlaced)
      placed(): void {}
    }
    return Scoped
  }
  const single = () => [ComityModule.forRoot({ team: mailTeam(), start: false })]

  test.each<[string, () => ModuleMetadata, string]>([
    ['what is no team', () => ({ imports: [ComityModule.forRoot({ team: {} as Team })] }), 'COMITY_NEST_NOT_A_TEAM'],
    [
      'a factory that makes no team',
      () => ({ imports: [ComityModule.forRootAsync({ useFactory: () => undefined as never })] }),
      'COMITY_NEST_NOT_A_TEAM',
    ],
    ['two modules of one name', () => ({ imports: [...single(), ...single()] }), 'COMITY_NEST_MODULE_TWICE'],
    ['a handler of another team', () => ({ imports: single(), providers: [mailer, Sender] }), 'COMITY_NEST_HANDLER_OF_NO_TEAM'],
    ['a handler per request', () => ({ imports: single(), providers: [placed(Scope.REQUEST)] }), 'COMITY_NEST_HANDLER_NOT_SINGLETON'],
    ['a transient handler', () => ({ imports: single(), providers: [placed(Scope.TRANSIENT)] }), 'COMITY_NEST_HANDLER_NOT_SINGLETON'],
  ])('%s', async (_what, metadata, code) => {
    await expect(application(metadata())).rejects.toMatchObject({ code })
  })
})

/** What was committed is sent, and what was sent has ended, until nobody has anything new to say. */
async function settled(app: { get<T>(token: symbol): T }): Promise<void> {
  const teams = [app.get<Team>(teamToken('shop')), app.get<Team>(teamToken('mail'))]
  for (let before = -1; ; ) {
    let said = 0
    for (const one of teams) said += await one.drained()
    for (const one of teams) await one.caughtUp()
    if (said === before) return
    before = said
  }
}
