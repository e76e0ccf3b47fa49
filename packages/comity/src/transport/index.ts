export {
  BatchTooLarge,
  ProvisionConflict,
  SubscriptionUnknown,
  TopicUnknown,
  TransportClosed,
  TransportFailed,
  TransportForbidden,
  TransportUnavailable,
  TransportUnsupported,
  TransportUrlUnknown,
} from './errors.ts'
export type { Guarantees, TransportLimits } from './guarantees.ts'
export { type MemoryBus, type MemoryBusOptions, type MemoryTransport, memoryBus, memoryTransport } from './memory/memory-transport.ts'
export { openTransport } from './open-transport.ts'
export { type BusMigration, type MigrateBusOptions, migrateBus, readBusMigrations } from './postgres/bus-migrations.ts'
export {
  type PostgresTransport,
  type PostgresTransportOptions,
  postgresGuarantees,
  postgresTransport,
} from './postgres/postgres-transport.ts'
export { type BusRole, rolesSql } from './postgres/roles-sql.ts'
export type {
  ClaimResult,
  Delivery,
  DeliveryHandler,
  DeliveryResult,
  Fence,
  Identity,
  IncomingMessage,
  OutgoingMessage,
  ProvisionPlan,
  ProvisionStep,
  ReceiveOptions,
  SeekTarget,
  SendOptions,
  SendResult,
  SubscriptionPlan,
  SubscriptionStats,
  TopicPlan,
  Transport,
} from './transport.ts'
