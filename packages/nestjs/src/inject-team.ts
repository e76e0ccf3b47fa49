import { Inject } from '@nestjs/common'

/** What the container knows a team by: `app.get(teamToken())`, `inject: [teamToken()]`. @param name of the module, where it was given one */
export function teamToken(name?: string): symbol {
  return Symbol.for(name === undefined ? '@comity/nestjs:team' : `@comity/nestjs:team:${name}`)
}

/**
 * Injects the team of the ComityModule, into a constructor's parameter or a property. Its `publish` takes the transaction that the service
 * has open anyway.
 */
export function InjectTeam(name?: string): PropertyDecorator & ParameterDecorator {
  return Inject(teamToken(name))
}
