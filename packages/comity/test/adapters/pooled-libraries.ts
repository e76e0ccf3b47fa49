import { MikroORM } from '@mikro-orm/postgresql'
import knex from 'knex'
import { Sequelize } from 'sequelize'
import { DataSource } from 'typeorm'
import { fromKnex } from '../../src/adapters/knex.ts'
import { fromMikroOrm } from '../../src/adapters/mikro-orm.ts'
import { fromSequelize } from '../../src/adapters/sequelize.ts'
import { fromTypeOrm } from '../../src/adapters/typeorm.ts'
import { library, type OpenLibrary } from './test-library.ts'

/** Libraries that open a pool of their own over pg. */
export const pooledLibraries: Readonly<Record<string, OpenLibrary>> = {
  Knex: async (url, options) => {
    // As with knexSnakeCaseMappers: what a user has done to his rows must not reach ours.
    const upperCased = (answer: { rows?: object[] }) => ({
      ...answer,
      rows: answer.rows?.map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toUpperCase(), value]))),
    })
    const db = knex({ client: 'pg', connection: url, postProcessResponse: upperCased })
    return library({
      database: fromKnex(db, options),
      execute: async (tx, text) => tx.raw(text),
      transaction: (work) => db.transaction(work),
      notATransaction: db,
      [Symbol.asyncDispose]: () => db.destroy(),
    })
  },

  TypeORM: async (url, options) => {
    const dataSource = await new DataSource({ type: 'postgres', url, logging: false }).initialize()
    return library({
      database: fromTypeOrm(dataSource, options),
      execute: (tx, text) => tx.query(text),
      transaction: (work) => dataSource.transaction(work),
      notATransaction: dataSource.manager,
      [Symbol.asyncDispose]: () => dataSource.destroy(),
    })
  },

  Sequelize: async (url, options) => {
    const sequelize = new Sequelize(url, { logging: false, query: { nest: true } })
    return library({
      database: fromSequelize(sequelize, options),
      execute: (transaction, text) => sequelize.query(text, { transaction }),
      transaction: (work) => sequelize.transaction(work),
      notATransaction: sequelize,
      [Symbol.asyncDispose]: () => sequelize.close(),
    })
  },

  MikroORM: async (url, options) => {
    const orm = await MikroORM.init({ clientUrl: url, entities: [], discovery: { warnWhenNoEntities: false } })
    return library({
      database: fromMikroOrm(orm, options),
      execute: (em, text) => em.execute(text),
      transaction: (work) => orm.em.fork().transactional(work),
      notATransaction: orm.em,
      [Symbol.asyncDispose]: () => orm.close(true),
    })
  },
}
