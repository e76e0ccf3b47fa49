import { type DynamicModule, Injectable, Module, type OnApplicationShutdown } from '@nestjs/common'
import pg from 'pg'

/** The pool that an application has anyway. It ends after the team, which stops in onModuleDestroy. */
@Injectable()
export class Pool extends pg.Pool implements OnApplicationShutdown {
  async onApplicationShutdown(): Promise<void> {
    await this.end()
  }
}

@Module({})
class PoolModule {}

export function poolModule(connectionString: string): DynamicModule {
  const provider = { provide: Pool, useFactory: () => new Pool({ connectionString }) }
  return { module: PoolModule, global: true, providers: [provider], exports: [Pool] }
}
