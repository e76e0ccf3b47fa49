import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type EmbeddedPostgres, launchPostgres } from '@comity/embedded-postgres'

/**
 * `fsync=off` is right here: what a kill leaves behind is in the kernel's page cache, which no kill takes away (FAILURES,
 * section 2). A cluster is recovered from its log all the same.
 */
const SETTINGS = { max_connections: '200', max_prepared_transactions: '20', deadlock_timeout: '50ms' }

/** A Postgres that crashes, comes back on the same files and port, and whose files can be copied and put back. */
export class CrashableServer {
  readonly #directory: string
  readonly #settings: Readonly<Record<string, string>>
  #server: EmbeddedPostgres

  private constructor(directory: string, server: EmbeddedPostgres, settings: Readonly<Record<string, string>>) {
    this.#directory = directory
    this.#server = server
    this.#settings = settings
  }

  static async start(settings: Readonly<Record<string, string>> = {}): Promise<CrashableServer> {
    const directory = mkdtempSync(join(tmpdir(), 'comity-chaos-'))
    return new CrashableServer(
      directory,
      await launchPostgres({ directory, durable: false, settings: { ...SETTINGS, ...settings } }),
      settings,
    )
  }

  get pid(): number {
    return this.#server.pid
  }

  createDatabase(name: string): Promise<string> {
    return this.#server.createDatabase(name)
  }

  /** As `pg_ctl stop -m immediate`, or with kill -9 of the postmaster; then starts again. */
  async crash(how: 'immediate' | 'SIGKILL' = 'immediate'): Promise<void> {
    await this.kill(how)
    await this.restart()
  }

  kill(how: 'immediate' | 'SIGKILL'): Promise<void> {
    return this.#server.kill(how)
  }

  /** On the same port and files. */
  restart(): Promise<void> {
    return this.#start(this.#server.port)
  }

  /** Stops it cleanly, copies its files, and starts it again. The copy can be put back, or started beside it. */
  async copyFiles(): Promise<string> {
    const { port } = this.#server
    await this.#server.close()
    const copy = mkdtempSync(join(tmpdir(), 'comity-chaos-copy-'))
    cpSync(this.#directory, copy, { recursive: true, preserveTimestamps: true })
    await this.#start(port)
    return copy
  }

  /** The files become those of the copy: everything after it never happened. */
  async restore(copy: string): Promise<void> {
    const { port } = this.#server
    await this.#server.kill('immediate')
    rmSync(this.#directory, { recursive: true, force: true })
    cpSync(copy, this.#directory, { recursive: true, preserveTimestamps: true })
    await this.#start(port)
  }

  /** A second server on a copy of the files, at another port, with the same settings. */
  async clone(copy: string): Promise<CrashableServer> {
    const directory = mkdtempSync(join(tmpdir(), 'comity-chaos-clone-'))
    cpSync(copy, directory, { recursive: true, preserveTimestamps: true })
    const server = await launchPostgres({ directory, durable: false, settings: { ...SETTINGS, ...this.#settings } })
    return new CrashableServer(directory, server, this.#settings)
  }

  databaseUrl(name: string): string {
    return this.#server.databaseUrl(name)
  }

  async close(): Promise<void> {
    await this.#server.close()
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 })
  }

  async #start(port: number): Promise<void> {
    this.#server = await launchPostgres({ directory: this.#directory, port, durable: false, settings: { ...SETTINGS, ...this.#settings } })
  }
}
