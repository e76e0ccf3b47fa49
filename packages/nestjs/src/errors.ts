import { type ErrorType, errorType } from '@comity/contract'

export const NotATeam: ErrorType<'given'> = errorType(
  'COMITY_NEST_NOT_A_TEAM',
  'ComityModule was given {given} instead of a team',
  "pass what team('…', { … }) returned: forRoot({ team }), or from the factory of forRootAsync",
)
export const ModuleGivenTwice: ErrorType<'module'> = errorType(
  'COMITY_NEST_MODULE_TWICE',
  'the application has two ComityModules {module}',
  "where one application runs several teams, give each its name: forRoot({ team, name: 'mail' }), @InjectTeam('mail'), @On(…, { team: 'mail' })",
)
export const HandlerOfNoTeam: ErrorType<'handler' | 'module' | 'known'> = errorType(
  'COMITY_NEST_HANDLER_OF_NO_TEAM',
  '{handler} handles for the ComityModule {module}, which the application does not have',
  'its modules are: {known}; name one of them in @On(…, { team })',
)
export const HandlerNotSingleton: ErrorType<'handler'> = errorType(
  'COMITY_NEST_HANDLER_NOT_SINGLETON',
  '{handler} belongs to a provider of request or transient scope, of which there is no instance to handle with',
  'move the method to a provider of the default scope, whose dependencies are of the default scope, too',
)
