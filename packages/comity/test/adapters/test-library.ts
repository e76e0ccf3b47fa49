import type { Database } from '../../src/postgres/database.ts'

/** One library as a user has it, and as Comity sees it. */
export interface TestLibrary<Tx = unknown> extends AsyncDisposable {
  readonly database: Database<Tx>
  /** A statement of the user's, in the library's own words, in a transaction. */
  execute(tx: Tx, text: string): Promise<unknown>
  /** The user's own transaction: commits when `work` returns. */
  transaction<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result>
  /** What a user could give by mistake. */
  readonly notATransaction: unknown
}

interface LibraryOptions {
  readonly sessionTimeout?: '1s'
}

export type OpenLibrary = (url: string, options?: LibraryOptions) => Promise<TestLibrary>

/** The library's whole type is known where it is opened; the suite sees one shape. */
export function library<Tx>(library: TestLibrary<Tx>): TestLibrary {
  return library as unknown as TestLibrary
}
