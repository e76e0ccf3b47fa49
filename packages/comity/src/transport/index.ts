// What transports are built from, those of other packages too.
export {
  BadOption,
  backoff,
  type Clock,
  checkOptions,
  type Duration,
  type Logger,
  type Loop,
  logEvent,
  loop,
  parseDuration,
  silentLogger,
  systemClock,
} from '../foundation/index.ts'
export { BucketWindow, type WindowEntry } from './bucket-window.ts'
export { Deliveries, type DeliveriesOptions } from './deliveries.ts'
export {
  BatchTooLarge,
  ProvisionConflict,
  SubscriptionUnknown,
  TopicUnknown,
  TransportClosed,
  TransportFailed,
  TransportForbidden,
  TransportNotInstalled,
  TransportUnavailable,
  TransportUnsupported,
  TransportUrlUnknown,
} from './errors.ts'
export type { Guarantees, TransportLimits } from './guarantees.ts'
export { highestVersionIn } from './highest-version.ts'
export { type HandOver, type RelayMark, relayMarks, unmarkedTransport } from './marks.ts'
export { type MemoryBus, type MemoryBusOptions, type MemoryTransport, memoryBus, memoryTransport } from './memory/memory-transport.ts'
export { type CheckedBatch, checkBatch } from './message-check.ts'
export type { MoveProgress, MoveRecords } from './move-records.ts'
export { isMoving, type MovingTransport, type MovingTransportOptions, movingTransport } from './moving-transport.ts'
export { type OpenTransport, type OpenTransportOptions, openTransport } from './open-transport.ts'
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
