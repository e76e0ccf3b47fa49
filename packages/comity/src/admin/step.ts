/** One thing that `comity migrate` does beside its numbered migrations. */
export interface Step {
  /** In words, for --check and the report. */
  readonly title: string
  readonly sql: readonly string[]
  /** What an error of these statements means; undefined: just that. */
  readonly explain?: (error: unknown) => Error | undefined
}
