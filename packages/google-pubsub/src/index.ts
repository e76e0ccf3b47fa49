export { openTransport } from './open-transport.ts'
export { type GooglePubsubOptions, type GooglePubsubTransport, googlePubsubTransport } from './google-pubsub-transport.ts'
export { googlePubsubGuarantees } from './guarantees.ts'
