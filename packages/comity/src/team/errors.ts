import { type ErrorType, errorType } from '@comity/contract'

export const NotTheOwner: ErrorType<'team' | 'contract' | 'owner'> = errorType(
  'COMITY_NOT_THE_OWNER',
  '{team} declares to publish {contract}, which belongs to {owner}',
  'let {owner} publish it, or give the contract another owner',
)
export const NotTheAnswerer: ErrorType<'team' | 'request' | 'owner'> = errorType(
  'COMITY_NOT_THE_ANSWERER',
  '{team} declares to answer {request}, which is addressed to {owner}',
  'let {owner} answer it: only the owner of an entity decides about it',
)
export const OwnRequestAsked: ErrorType<'request'> = errorType(
  'COMITY_OWN_REQUEST_ASKED',
  '{request} is addressed to this team itself',
  'write your own data in your own transaction; other teams ask',
)
export const NotARequest: ErrorType<'contract' | 'verb'> = errorType(
  'COMITY_NOT_A_REQUEST',
  '{verb} takes a request, and {contract} is none',
  'pass what request(…) of @comity/contract returned; events and entities have publishes(), owns(), keeps() and on()',
)
export const AnsweredEntityUnowned: ErrorType<'team' | 'request' | 'entity'> = errorType(
  'COMITY_ANSWERED_ENTITY_UNOWNED',
  '{team} declares to answer {request}, and does not declare {entity}, which that is about',
  'declare the entity with .owns(…)',
)
export const DeclaredTwice: ErrorType<'team' | 'name'> = errorType(
  'COMITY_DECLARED_TWICE',
  '{team} declares {name} twice',
  "give one of them another name with the option 'name'",
)
export const OwnEntityKept: ErrorType<'entity'> = errorType(
  'COMITY_OWN_ENTITY_KEPT',
  '{entity} is owned by this team, which has it in its own database',
  'read the table itself',
)
export const AlreadyInUse: ErrorType<'team'> = errorType(
  'COMITY_ALREADY_IN_USE',
  'team {team} was declared further after it had been used',
  'declare everything before the first publish, migrate or start',
)
export const NoDatabase: ErrorType<'team'> = errorType(
  'COMITY_NO_DATABASE',
  'team {team} has no database',
  "pass the option 'database' or set COMITY_DATABASE_URL",
)
export const NoTransport: ErrorType<'team'> = errorType(
  'COMITY_NO_TRANSPORT',
  'team {team} has no transport',
  "pass the option 'transport' or set COMITY_TRANSPORT",
)
export const SameBroker: ErrorType<'team' | 'name'> = errorType(
  'COMITY_SAME_BROKER',
  'team {team} is to move from {name} to {name}',
  "give the URL of another broker as 'transportTo'; two transport values of one kind are told apart by the option 'moving': { from, to }",
)
export const NoSuchSubscription: ErrorType<'team' | 'subscription'> = errorType(
  'COMITY_NO_SUCH_SUBSCRIPTION',
  '{team} runs no subscription {subscription} here',
  'name one that "comity status" shows, in a process where the team is started',
)
export const NotReplica: ErrorType<'team' | 'entity'> = errorType(
  'COMITY_NOT_A_REPLICA',
  '{team} keeps no copy of {entity}',
  'declare it with .keeps(…)',
)
export const NotAnEntity: ErrorType<'contract' | 'verb'> = errorType(
  'COMITY_NOT_AN_ENTITY',
  '{verb} takes an entity, and {contract} is an event',
  'use publishes() and on() for events',
)
export const NotAContract: ErrorType<'verb'> = errorType(
  'COMITY_NOT_A_CONTRACT',
  '{verb} was given something that is no contract',
  'pass what entity(…) or event(…) of @comity/contract returned; requests have asks() and answers()',
)
export const WhereUnfit: ErrorType<'entity' | 'field' | 'problem'> = errorType(
  'COMITY_WHERE_UNFIT',
  '{entity} can not be kept by its field {field}: {problem}',
  "give a value, a list of values or bounds ({ atLeast, above, atMost, below, not }) of a field that is published to this team in the option 'where' of keeps",
)
export const TableKeptTwice: ErrorType<'table' | 'name' | 'other'> = errorType(
  'COMITY_TABLE_KEPT_TWICE',
  '{name} would be kept in the table {table}, which is that of {other}',
  "give one of them another table with the option 'table' of keeps",
)
export const NotAVersion: ErrorType<'from' | 'to'> = errorType(
  'COMITY_NOT_A_VERSION',
  '"lifts" was given {from}, and {to}: these are not two versions of one contract',
  'give the older and the newer version of the contract under one name, with the same key and tenant',
)
