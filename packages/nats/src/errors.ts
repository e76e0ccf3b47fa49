import { type ErrorType, errorType } from '@comity/contract'

export const NatsServerTooOld: ErrorType<'version'> = errorType(
  'COMITY_NATS_SERVER_TOO_OLD',
  'the server is nats-server {version}, and 2.9 is needed',
  'upgrade the server to 2.9 or later, then connect again',
)
export const NatsPayloadTooSmall: ErrorType<'given' | 'needed'> = errorType(
  'COMITY_NATS_PAYLOAD_TOO_SMALL',
  'the server takes messages of at most {given} bytes, and {needed} are promised to the teams (guarantees.limits.messageBytes and headers)',
  'set max_payload: 9MB in nats-server.conf and reload the server',
)
export const NatsStreamUnsafe: ErrorType<'topic' | 'reason' | 'remedy'> = errorType(
  'COMITY_NATS_STREAM_UNSAFE',
  'the stream of topic {topic} does not keep what is promised: {reason}',
  '{remedy}',
)
export const NatsSyncUnsaid: ErrorType<never> = errorType(
  'COMITY_NATS_SYNC_UNSAID',
  'it is not said when the server writes its files through to the disk, and a client cannot ask: by default it does so every two minutes',
  "say sync: 'always' (?sync=always) if nats-server.conf has sync_interval: always in its jetstream block (2.10 and later), or sync: 'interval' if a power failure may take the last two minutes of each server",
)
export const NatsNameTooLong: ErrorType<'name' | 'limit'> = errorType(
  'COMITY_NATS_NAME_TOO_LONG',
  'the name {name} needs more than the {limit} bytes that the server allows, once its other characters are written as codes',
  'shorten it',
)
export const NatsUrlInvalid: ErrorType<'reason'> = errorType(
  'COMITY_NATS_URL_INVALID',
  'the URL of the server cannot be used: {reason}',
  'write nats://user:password@host:4222,second-host:4222?team=crm&sync=always; a special character of the password as %xx',
)
export const NatsTeamUnknown: ErrorType<'team'> = errorType(
  'COMITY_NATS_TEAM_UNKNOWN',
  'the server has no place for the leases and claims of team {team}',
  'run `comity provision` as the operator with a plan that names a topic or a subscription of that team',
)
