import type { OpenTransport } from 'comity/transport'
import { natsTransport } from './nats-transport.ts'

export {
  NatsNameTooLong,
  NatsPayloadTooSmall,
  NatsServerTooOld,
  NatsStreamUnsafe,
  NatsSyncUnsaid,
  NatsTeamUnknown,
  NatsUrlInvalid,
} from './errors.ts'
export { type NatsTransport, natsGuarantees, natsTransport } from './nats-transport.ts'
export type { NatsTransportOptions } from './options.ts'

/** What a configuration's `nats://…` opens. */
export const openTransport: OpenTransport = (url, options) => natsTransport({ url, ...options })
