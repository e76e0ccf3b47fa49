/** Between `comity dev` and the process of one configuration. */
export interface Loaded {
  readonly teams: readonly LoadedTeam[]
}
export interface LoadedTeam {
  readonly name: string
  /** Its database is a handle of its own library, made when the configuration was loaded; else a URL can be given to it. */
  readonly ownHandle: boolean
}
export interface Go {
  /** Team → URL. */
  readonly databases: Readonly<Record<string, string>>
  readonly transport: string
}
