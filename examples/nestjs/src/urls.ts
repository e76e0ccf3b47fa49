export interface Urls {
  readonly database: string
  readonly bus: string
}
