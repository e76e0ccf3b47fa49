export { type ComityAsyncOptions, ComityModule, type ComityOptions } from './comity-module.ts'
export { InjectTeam, teamToken } from './inject-team.ts'
export { type HandlerMethod, type HandlerOptions, On } from './on.ts'
