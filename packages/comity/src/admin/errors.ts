import { type ErrorType, errorType } from '@comity/contract'

export const OtherTeamsDatabase: ErrorType<'found' | 'team'> = errorType(
  'COMITY_OTHER_TEAMS_DATABASE',
  'this database belongs to team {found}, not to {team}',
  'give each team a database of its own, and check the URL',
)
export const OtherNamespace: ErrorType<'found' | 'namespace'> = errorType(
  'COMITY_OTHER_NAMESPACE',
  'this database was migrated under the namespace "{found}", and the team runs under "{namespace}"',
  'a copy of another environment must not publish there; if this database really moves, run "comity uninstall" and then "comity migrate"',
)
export const NotMigrated: ErrorType<'team' | 'pending'> = errorType(
  'COMITY_NOT_MIGRATED',
  'the database of {team} is not migrated for this code: {pending}',
  'run "comity migrate" as the owner of the tables ("comity migrate --print" shows what it would do)',
)
export const RequestUnanswered: ErrorType<'team' | 'requests' | 'owners'> = errorType(
  'COMITY_REQUEST_UNANSWERED',
  '{team} asks {requests}, and the broker knows nobody who answers',
  'let {owners} declare it with .answers(…) and run "comity provision" there first; it need not be running',
)
export const NoSuchRequestKnown: ErrorType<'team' | 'id'> = errorType(
  'COMITY_NO_SUCH_REQUEST_KNOWN',
  '{team} knows no request {id}, asked or to be answered',
  'look for it with "comity requests"; what ended a month ago is gone',
)
export const UnsupportedPostgres: ErrorType<'version'> = errorType(
  'COMITY_UNSUPPORTED_POSTGRES',
  'Postgres {version} is older than 15',
  'use Postgres 15 or later',
)
export const ReadReplica: ErrorType<'team'> = errorType(
  'COMITY_READ_REPLICA',
  'the database of {team} is in recovery: it is a read replica',
  'give the URL of the primary',
)
export const UnsafeDatabase: ErrorType<'setting' | 'value'> = errorType(
  'COMITY_UNSAFE_DATABASE',
  'the server runs with {setting} = {value}: a crash would lose changes that were announced',
  'turn it on; only tests may run without (the option "allowUnsafe")',
)
export const VersionsCached: ErrorType<'cache'> = errorType(
  'COMITY_VERSIONS_CACHED',
  'the sequence comity.outbox_id has CACHE {cache}: a later transaction could draw a smaller version',
  'run: alter sequence comity.outbox_id cache 1',
)
export const CaptureBroken: ErrorType<'problems'> = errorType(
  'COMITY_CAPTURE_BROKEN',
  'captured tables are not captured as they should be: {problems}',
  'run "comity migrate", which mends it, then compare the copies',
)
export const NotCaptured: ErrorType<'entity' | 'team' | 'captured'> = errorType(
  'COMITY_NOT_CAPTURED',
  '{entity} is not captured from a table of {team} now',
  'give the name of a captured entity; here that is {captured}',
)
export const EntityHandedOver: ErrorType<'entity' | 'team'> = errorType(
  'COMITY_ENTITY_HANDED_OVER',
  '{entity} belongs to {team} since it was handed over',
  'do it there',
)
export const CopyNotAccepted: ErrorType<'replica'> = errorType(
  'COMITY_COPY_NOT_ACCEPTED',
  '{replica} has not ended to be filled otherwise than as it should: there is nothing to accept',
  'look with "comity backfill status"; what is under way ends by itself, or with "comity backfill cancel"',
)
export const HandOverRefused: ErrorType<'entity' | 'team' | 'problem' | 'remedy'> = errorType(
  'COMITY_HAND_OVER_REFUSED',
  '{entity} can not be handed over to {team}: {problem}',
  '{remedy}',
)
export const TakeOverRefused: ErrorType<'entity' | 'problem' | 'remedy'> = errorType(
  'COMITY_TAKE_OVER_REFUSED',
  '{entity} can not be taken over: {problem}',
  '{remedy}',
)
export const UninstallWhileRunning: ErrorType<'team' | 'holder'> = errorType(
  'COMITY_UNINSTALL_WHILE_RUNNING',
  'a process of {team} relays from this database ({holder})',
  'stop "comity run" first; if that was killed, wait 15 s for its lease to end',
)
export const UninstallBlocked: ErrorType<'objects'> = errorType(
  'COMITY_UNINSTALL_BLOCKED',
  'these depend on what is to be taken out: {objects}',
  'drop them, or let them read the tables themselves, and uninstall again',
)
export const NothingWithheld: ErrorType<'what'> = errorType(
  'COMITY_NOTHING_WITHHELD',
  'nothing of {what} is withheld',
  'list what is with "comity withheld"',
)
export const ContractIdentityChanged: ErrorType<'contract' | 'was' | 'is'> = errorType(
  'COMITY_CONTRACT_IDENTITY_CHANGED',
  '{contract} is registered as {was}, and declared as {is}',
  'give the contract a new name, and let its readers move over: under one name, kind, key and tenant stay what they are',
)
export const EntityHasSource: ErrorType<'entity' | 'source' | 'remedy'> = errorType(
  'COMITY_ENTITY_HAS_SOURCE',
  '{entity} is {source}, and an entity has one source at a time',
  '{remedy}',
)
export const BadLimit: ErrorType<'limit' | 'most'> = errorType(
  'COMITY_BAD_LIMIT',
  'a page has a limit of {limit} rows',
  'give a whole number from 1 to {most}, and go on with "after"',
)
export const BadCursor: ErrorType<'cursor'> = errorType(
  'COMITY_BAD_CURSOR',
  '"{cursor}" is not where a page of this list ends',
  'give "next" of the page before as it is, with the same sort order',
)
export const BadTime: ErrorType<'time'> = errorType(
  'COMITY_BAD_TIME',
  '"{time}" is no point in time',
  "give ISO 8601 with a zone, e.g. '2026-11-05T10:15:00Z'",
)
export const NotAMessageId: ErrorType<'id'> = errorType(
  'COMITY_NOT_A_MESSAGE_ID',
  '"{id}" is not the id of a message',
  'give it as it stands in logs and lists, e.g. crm-28512345678901: the team and the version',
)
export const MessageUnknown: ErrorType<'id' | 'teams'> = errorType(
  'COMITY_MESSAGE_UNKNOWN',
  'nothing is known of message {id} at {teams}',
  'check the id; the outbox keeps what is settled for a day, and the inbox for as long as a repetition can come: ask every team that may have had it',
)
export const OperationUnexplained: ErrorType<'kind' | 'missing'> = errorType(
  'COMITY_OPERATION_UNEXPLAINED',
  'the operation {kind} was given no {missing}',
  'say who wants it and why: both are recorded in comity.operations',
)
export const OperationUnknown: ErrorType<'kind' | 'hint'> = errorType(
  'COMITY_OPERATION_UNKNOWN',
  'there is no operation "{kind}"',
  '{hint}',
)
export const OperationArguments: ErrorType<'kind' | 'problem'> = errorType(
  'COMITY_OPERATION_ARGUMENTS',
  'the arguments of the operation {kind} do not fit: {problem}',
  'correct them, and ask again with a new id',
)
export const OperationFailed: ErrorType<'kind' | 'reason'> = errorType(
  'COMITY_OPERATION_FAILED',
  'the operation {kind} failed and was rolled back: {reason}',
  'remove the cause, and ask again with a new id',
)
export const NotProvisioned: ErrorType<'team' | 'missing'> = errorType(
  'COMITY_NOT_PROVISIONED',
  'the broker lacks what team {team} needs: {missing}',
  'run "comity provision" as the operator of the broker ("comity provision --plan" shows what it would create)',
)
export const SubscriptionNotHere: ErrorType<'team' | 'subscription' | 'hint'> = errorType(
  'COMITY_SUBSCRIPTION_NOT_HERE',
  '{team} has no subscription {subscription}',
  '{hint} "comity subscriptions" lists them',
)
export const SubscriptionDeclared: ErrorType<'subscription'> = errorType(
  'COMITY_SUBSCRIPTION_DECLARED',
  '{subscription} is declared by the code that was given',
  'take it out of the code and deploy that first; then nobody runs it any more',
)
export const SubscriptionInUse: ErrorType<'subscription'> = errorType(
  'COMITY_SUBSCRIPTION_IN_USE',
  '{subscription} has consumed messages of its own',
  'choose a name that is free, or remove that subscription first',
)
export const CountDiffers: ErrorType<'what' | 'given' | 'found'> = errorType(
  'COMITY_COUNT_DIFFERS',
  'there are {found} {what}, and {given} were expected',
  'look again, and give the count that you mean to end',
)
export const PauseWithoutTarget: ErrorType<'kind'> = errorType(
  'COMITY_PAUSE_WITHOUT_TARGET',
  '{kind} was given neither a subscription nor a tenant',
  'name one of them, or both',
)
export const NothingPaused: ErrorType<'what'> = errorType(
  'COMITY_NOTHING_PAUSED',
  '{what} is not paused',
  'list what is with "comity subscriptions --state paused"',
)
export const NoReplay: ErrorType<'transport'> = errorType(
  'COMITY_NO_REPLAY',
  'the {transport} transport keeps no acknowledged messages',
  'use a transport whose guarantees say replay',
)
export const ReplayTooFar: ErrorType<'subscription' | 'time' | 'floor'> = errorType(
  'COMITY_REPLAY_TOO_FAR',
  '{subscription} can go back to {floor}, not to {time}',
  'give a later time that is not in the future; what is older is a case for a backfill',
)
export const JobUnknown: ErrorType<'job'> = errorType('COMITY_JOB_UNKNOWN', 'there is no job {job}', 'list them with "comity jobs"')
export const JobEnded: ErrorType<'job' | 'state'> = errorType(
  'COMITY_JOB_ENDED',
  'the job {job} has ended already ({state})',
  'nothing: it does nothing any more',
)
export const EditingIsOff: ErrorType<'team'> = errorType(
  'COMITY_EDITING_IS_OFF',
  '{team} does not allow messages to be edited',
  "set the team's option allowEdit, or correct the data at its owner and skip the message",
)
export const EditedDataDiffers: ErrorType<'problem'> = errorType(
  'COMITY_EDITED_DATA_DIFFERS',
  'the data does not fit the contract: {problem}',
  'correct it; key and tenant stay those of the original',
)
export const NoAccessForm: ErrorType<'transport' | 'form' | 'forms'> = errorType(
  'COMITY_NO_ACCESS_FORM',
  'the rights of teams at {transport} are not written down in the form {form}; {forms}',
  'name a form that it has; where it has none, the rights are kept elsewhere: for a Postgres bus, comity migrate --roles bus',
)
export const NoMove: ErrorType<'team' | 'to'> = errorType(
  'COMITY_NO_MOVE',
  'no process of {team} is moving to {to}',
  'start its processes with COMITY_TRANSPORT_TO set to it; "comity transport move --to <url> --status" shows how far they are',
)
export const NotSwitched: ErrorType<'team' | 'what'> = errorType(
  'COMITY_NOT_SWITCHED',
  '{team} still needs the old broker: {what} has not switched',
  'wait for it with "comity transport move --to <url>"',
)
export const AlreadySwitched: ErrorType<'team' | 'subscriptions'> = errorType(
  'COMITY_ALREADY_SWITCHED',
  '{team} reads {subscriptions} at the new broker already',
  'finish the move, and move back: that is another move, in the other direction',
)
export const AuditUnknown: ErrorType<'audit'> = errorType(
  'COMITY_AUDIT_UNKNOWN',
  'there is no audit {audit}',
  'list them with "comity audit list"',
)
export const ValuesNotAllowed: ErrorType<'role' | 'replica' | 'table'> = errorType(
  'COMITY_VALUES_NOT_ALLOWED',
  'the role {role} may not see the values of {replica}',
  'connect as a role that may select from {table} and take answers from comity.audit_answers, as the runner of "comity migrate --roles" may; the keys are named without "--values"',
)
export const CopyNotHere: ErrorType<'team' | 'replica' | 'copies'> = errorType(
  'COMITY_COPY_NOT_HERE',
  'team {team} keeps no copy {replica}; it keeps {copies}',
  'name one of these, or the team that keeps it with --team',
)
export const BackfillOpen: ErrorType<'replica'> = errorType(
  'COMITY_BACKFILL_OPEN',
  'the copy {replica} is being filled already',
  'look at it with "comity backfill status", or end it first with "comity backfill cancel"',
)
export const BackfillNotOpen: ErrorType<'replica' | 'team'> = errorType(
  'COMITY_BACKFILL_NOT_OPEN',
  'no backfill of {replica} is under way at team {team}, or not one that this can be done to',
  'look at what there is with "comity backfill status"',
)
export const NotSeedable: ErrorType<'team' | 'entity' | 'entities'> = errorType(
  'COMITY_NOT_SEEDABLE',
  'team {team} publishes no entity {entity} by code; it publishes {entities}',
  'name one of these; what is captured from a table needs no seed',
)
export const SeedRefused: ErrorType<'entity' | 'place' | 'problem'> = errorType(
  'COMITY_SEED_REFUSED',
  'the state at place {place} breaks the contract of {entity}: {problem}',
  'put it right and seed again; of these nothing was taken',
)
export const FieldNotDeclared: ErrorType<'field' | 'contracts'> = errorType(
  'COMITY_FIELD_NOT_DECLARED',
  'no team that this one has heard of has declared {field}',
  'see "comity catalog" for what there is; a team is heard when it runs and "comity provision" was run for it. Contracts: {contracts}',
)
export const TeamNotForgotten: ErrorType<'team'> = errorType(
  'COMITY_TEAM_NOT_FORGOTTEN',
  'team {team} is not one that has fallen silent: it was heard within three minutes, or never',
  'see "comity catalog" for when each was heard; stop what still runs for it, wait three minutes, and ask again',
)
