/** A Knex or a transaction of it, as far as our statements need it. */
export interface KnexHandle {
  // biome-ignore lint/suspicious/noExplicitAny: Knex gives its client no type
  readonly client: any
}
export interface KnexTransaction extends KnexHandle {
  isCompleted(): boolean
}

interface Answer {
  readonly rows: unknown[]
}

/**
 * One statement on Knex's own connection, which a transaction's client hands out again and again. Not through `knex.raw`: it
 * takes every `?` for a parameter, in literals and operators, too, can't be given `\?`, and renames columns by postProcessResponse.
 */
export async function runOnKnex({ client }: KnexHandle, text: string, values: readonly unknown[]): Promise<unknown[]> {
  const connection = await client.acquireConnection()
  try {
    const answer = (await connection.query(text, values)) as Answer | readonly Answer[]
    return 'rows' in answer ? answer.rows : (answer.at(-1)?.rows ?? [])
  } finally {
    await client.releaseConnection(connection)
  }
}
