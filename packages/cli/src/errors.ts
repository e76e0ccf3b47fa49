import { type ErrorType, errorType } from '@comity/contract'

export const ConfigNotFound: ErrorType<'where'> = errorType(
  'COMITY_CONFIG_NOT_FOUND',
  'there is no comity.config.ts in {where}',
  "write one that says: export default team('crm', { … }), or give its path with --config",
)
export const ConfigFailed: ErrorType<'file' | 'reason'> = errorType(
  'COMITY_CONFIG_FAILED',
  '{file} could not be loaded: {reason}',
  'correct it; --verbose shows where it failed',
)
export const ConfigWithoutTeam: ErrorType<'file' | 'exports'> = errorType(
  'COMITY_CONFIG_WITHOUT_TEAM',
  '{file} exports no team (its exports: {exports})',
  "export one: export default team('crm', { … }), an array of teams, or each by a name",
)
export const TeamNotInConfig: ErrorType<'team' | 'teams'> = errorType(
  'COMITY_TEAM_NOT_IN_CONFIG',
  'the configuration has no team {team}',
  'give one of its teams: {teams}',
)
export const TeamNotNamed: ErrorType<'teams' | 'command'> = errorType(
  'COMITY_TEAM_NOT_NAMED',
  'the configuration has several teams, and {command} takes one',
  'say which with --team: {teams}',
)
export const ConfirmationDiffers: ErrorType<'given' | 'team'> = errorType(
  'COMITY_CONFIRMATION_DIFFERS',
  '--yes {given} is not the name of the team, {team}',
  'if you mean it, write --yes {team}',
)
export const BusNotInPostgres: ErrorType<'team' | 'transport'> = errorType(
  'COMITY_BUS_NOT_IN_POSTGRES',
  'the transport of {team}, {transport}, has no roles in Postgres',
  "grant the team's rights where that broker keeps them; for this database use --roles database",
)
export const NoEmbeddedPostgres: ErrorType<never> = errorType(
  'COMITY_NO_EMBEDDED_POSTGRES',
  '"comity dev" starts a Postgres of its own, and @comity/embedded-postgres is not installed',
  'run: npm install --save-dev @comity/embedded-postgres',
)
export const DrainTimedOut: ErrorType<'limit'> = errorType(
  'COMITY_DRAIN_TIMED_OUT',
  'what was under way did not end within {limit}',
  'nothing is lost: it is delivered again at the next start; look for a handler that does not end',
)
export const MonitoringNotStarted: ErrorType<'address' | 'reason'> = errorType(
  'COMITY_MONITORING_NOT_STARTED',
  'probes and metrics can not be served at {address}: {reason}',
  'give a free port with --port (0 takes any), or end what listens there',
)
export const Unexpected: ErrorType<'reason'> = errorType(
  'COMITY_UNEXPECTED',
  '{reason}',
  'this error has no code of ours: run it again with --verbose, and report what it shows',
)
export const BadUsage: ErrorType<'reason'> = errorType('COMITY_BAD_USAGE', '{reason}', 'see comity --help, or comity <command> --help')
export const DatabaseRefused: ErrorType<'reason' | 'sqlstate'> = errorType(
  'COMITY_DATABASE_REFUSED',
  'Postgres refused: {reason} (SQLSTATE {sqlstate})',
  'run "comity migrate" and "comity uninstall" as the owner of the tables, the rest as a role that "comity migrate --roles" prints; --verbose shows more',
)
export const NotConfirmed: ErrorType<'what' | 'yes'> = errorType(
  'COMITY_NOT_CONFIRMED',
  '{what}, and nobody confirmed it',
  'look with --dry-run; if you mean it, add: --yes {yes}',
)
export const OtherConfirmed: ErrorType<'given' | 'what' | 'yes'> = errorType(
  'COMITY_OTHER_CONFIRMED',
  '{what}, and --yes {given} confirms something else',
  'look again with --dry-run; if you mean it, write: --yes {yes}',
)
export const BadValue: ErrorType<'option' | 'value' | 'expected'> = errorType(
  'COMITY_BAD_VALUE',
  '{option} is "{value}", expected {expected}',
  'correct it; --help has an example',
)
export const EntityNotInWorkspace: ErrorType<'entity' | 'entities'> = errorType(
  'COMITY_ENTITY_NOT_IN_WORKSPACE',
  'no configuration of this workspace imports the entity {entity}; there are: {entities}',
  'run it in the folder above the configurations, or name one of these; a contract must be exported by a module that configurations import',
)
export const AudienceMissing: ErrorType<'entity' | 'owner' | 'audiences' | 'team'> = errorType(
  'COMITY_AUDIENCE_MISSING',
  '{entity} is granted to {audiences}, and not to {team}',
  'let {owner} add to its contract: audiences: { {team}: [ … ] }, and migrate and provision; then add the team',
)
export const TeamFolderTaken: ErrorType<'folder'> = errorType(
  'COMITY_TEAM_FOLDER_TAKEN',
  'there is a folder {folder} already',
  'give the team another name, or move the folder away',
)
export const TableNotChosen: ErrorType<'replica'> = errorType(
  'COMITY_TABLE_NOT_CHOSEN',
  'nobody has said what is to become of the table of {replica}',
  'give --keep-table, which leaves it as a plain table, or --drop-table',
)
export const ExportNotNamed: ErrorType<never> = errorType(
  'COMITY_EXPORT_NOT_NAMED',
  'nobody can tell what to write, and where',
  "give one of --asyncapi, --json-schema and --eventcatalog; EventCatalog's folders need --out <folder> too",
)
