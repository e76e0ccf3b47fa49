/** Mail keeps the names of Shop's products, and writes a mail for each order, once. */
import { ComityModule, On } from '@comity/nestjs'
import { type DynamicModule, Injectable, Logger, Module } from '@nestjs/common'
import { type EventMessage, NotYetError, type TeamContext, team } from 'comity'
import { fromPg } from 'comity/pg'
import type pg from 'pg'
import { OrderPlaced, Product } from './contracts.ts'
import { Pool, poolModule } from './pool.ts'
import type { Order } from './shop.ts'
import type { Urls } from './urls.ts'

export const tables = 'create table mails (order_id text primary key, recipient text not null, subject text not null)'

@Injectable()
export class Mailer {
  private readonly log = new Logger(Mailer.name)

  @On(OrderPlaced)
  async orderPlaced({ data }: EventMessage<Order>, { tx }: TeamContext<pg.PoolClient>): Promise<void> {
    const { rows } = await tx.query<{ name: string }>('select name from shop_product where id = $1', [data.productId])
    if (rows[0] === undefined) throw new NotYetError('the product is on its way') // events and copies arrive independently
    await tx.query('insert into mails values ($1, $2, $3)', [data.orderId, data.email, `You bought: ${rows[0].name}`])
    this.log.debug(`order ${data.orderId}`)
  }
}

@Module({})
class MailModule {}

export function mailModule({ database, bus }: Urls): DynamicModule {
  const comity = ComityModule.forRootAsync({
    inject: [Pool],
    useFactory: (pool: Pool) =>
      team('mail', { database: fromPg(pool), transport: bus, autoMigrate: true }).keeps(Product, { fields: ['name'] }),
  })
  return { module: MailModule, imports: [poolModule(database), comity], providers: [Mailer] }
}
