/** Shop owns products, an ordinary table, and announces orders. */
import { ComityModule, InjectTeam } from '@comity/nestjs'
import { type DynamicModule, Inject, Injectable, Module } from '@nestjs/common'
import { type Team, team } from 'comity'
import { fromPg } from 'comity/pg'
import type pg from 'pg'
import { OrderPlaced, Product } from './contracts.ts'
import { Pool, poolModule } from './pool.ts'
import type { Urls } from './urls.ts'

export const tables = `
  create table products (id text primary key, name text not null, price integer not null, bought_for integer not null);
  create table orders (id text primary key, product_id text not null references products, email text not null)`

export interface Order {
  readonly orderId: string
  readonly productId: string
  readonly email: string
}

@Injectable()
export class Orders {
  @InjectTeam() private readonly shop!: Team<pg.PoolClient>
  @Inject(Pool) private readonly pool!: Pool

  /** The order and its announcement are committed together, or neither is. */
  async place(order: Order): Promise<void> {
    const tx = await this.pool.connect()
    try {
      await tx.query('begin')
      await tx.query('insert into orders (id, product_id, email) values ($1, $2, $3)', [order.orderId, order.productId, order.email])
      await this.shop.publish(tx, OrderPlaced, order)
      await tx.query('commit')
    } catch (error) {
      await tx.query('rollback')
      throw error
    } finally {
      tx.release()
    }
  }
}

@Module({})
class ShopModule {}

export function shopModule({ database, bus }: Urls): DynamicModule {
  const comity = ComityModule.forRootAsync({
    inject: [Pool],
    useFactory: (pool: Pool) =>
      team('shop', { database: fromPg(pool), transport: bus, autoMigrate: true })
        .owns(Product, { table: 'products' })
        .publishes(OrderPlaced),
  })
  return { module: ShopModule, imports: [poolModule(database), comity], providers: [Orders], exports: [Orders] }
}
