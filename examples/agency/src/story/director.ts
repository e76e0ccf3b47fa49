import { setTimeout as delay } from 'node:timers/promises'
import type { TeamStatus } from 'comity'
import { TooSlow } from './errors.ts'
import type { Narrator } from './narrator.ts'
import { panelLines } from './panel.ts'
import type { Founder, Installation, Ready, TeamName } from './set-up.ts'
import { startTeamProcess, type TeamProcess } from './team-process.ts'

/** Between two looks at the teams, in milliseconds: where somebody watches, and where looking only takes time from the teams. */
const LOOK_EVERY = { live: 100, plain: 250 }
const WITHIN_SECONDS = 60
/** After each step of the story on a terminal, so that one can read it. */
const READING_MS = 1_500

/** Rows in the tables that the story speaks of. */
export interface Holdings {
  readonly crm: { readonly customers: number; readonly thirdParty: number }
  readonly marketing: {
    readonly copies: number
    readonly campaigns: number
    readonly unfinished: number
    readonly sent: number
    readonly delivered: number
  }
  readonly 'data-analysis': { readonly campaigns: number; readonly sent: number; readonly delivered: number }
  readonly billing?: { readonly copies: number }
}
export interface Look {
  readonly status: Readonly<Record<Founder, TeamStatus>> & { readonly billing?: TeamStatus }
  readonly holds: Holdings
}

/** Starts and ends the teams' processes, looks at the teams, and waits for what has to happen. */
export class Director implements AsyncDisposable {
  readonly #installation: Installation
  readonly #narrator: Narrator
  readonly #signal: AbortSignal
  readonly #processes = new Map<TeamName, TeamProcess>()

  constructor(installation: Installation, narrator: Narrator, signal: AbortSignal) {
    this.#installation = installation
    this.#narrator = narrator
    this.#signal = signal
  }

  /** Resolves when the team's process has started. */
  async start(name: TeamName): Promise<TeamProcess> {
    this.#signal.throwIfAborted()
    const { env } = this.#installation.teams[name] as Ready
    const process = startTeamProcess(name, env)
    this.#processes.set(name, process)
    await process.ready
    return process
  }

  async kill(name: TeamName): Promise<void> {
    await this.#processes.get(name)?.kill()
    this.#processes.delete(name)
  }

  async ask(name: TeamName, command: string, given: unknown): Promise<unknown> {
    return this.#processes.get(name)?.ask(command, given)
  }

  /** Looks at every team, and shows it. */
  async look(): Promise<Look> {
    this.#signal.throwIfAborted()
    const teams = Object.values(this.#installation.teams)
    const lost = [...this.#processes.values()].map((process) => process.lost)
    const read = async (): Promise<Look> => {
      const asked = Promise.all(teams.map(async ({ name, team }) => [name, await team.status()] as const))
      const [status, holds] = await Promise.all([asked, this.#holdings()])
      return { status: Object.fromEntries(status) as Look['status'], holds }
    }
    const look = await Promise.race([read(), ...lost])
    this.#show(look)
    return look
  }

  /**
   * Looks until `happened` says so; `progress` says how far it is, `alsoLook` is what else has to be looked at each time. Throws COMITY_EXAMPLE_TOO_SLOW when
   * nothing has moved for a minute.
   */
  async until(
    what: string,
    happened: (look: Look) => boolean,
    progress?: (look: Look) => { readonly done: number; readonly of: number },
    alsoLook?: () => Promise<void>,
  ): Promise<Look> {
    let furthest = Number.NEGATIVE_INFINITY
    for (let moved = performance.now(); ; await delay(this.#lookEvery)) {
      const look = await this.look()
      await alsoLook?.()
      if (happened(look)) {
        this.#narrator.done()
        return look
      }
      if (progress !== undefined) {
        const { done, of } = progress(look)
        this.#narrator.progress(what, done, of)
        if (done > furthest) moved = performance.now()
        furthest = Math.max(furthest, done)
      }
      if (performance.now() - moved > WITHIN_SECONDS * 1000) {
        throw new TooSlow({ what, seconds: WITHIN_SECONDS, state: Object.values(look.status).map(summary).join(' | ') })
      }
    }
  }

  /** Time to read, where somebody does. */
  async pause(): Promise<void> {
    if (!this.#narrator.live) return
    for (const end = performance.now() + READING_MS; performance.now() < end; await delay(this.#lookEvery)) await this.look()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#processes.values()].map((process) => process.stop()))
  }

  get #lookEvery(): number {
    return this.#narrator.live ? LOOK_EVERY.live : LOOK_EVERY.plain
  }

  async #holdings(): Promise<Holdings> {
    const { teams } = this.#installation
    const row = async (name: TeamName, sql: string): Promise<unknown> => (await teams[name]?.database.query(sql))?.rows[0]
    const [crm, marketing, analysis, billing] = await Promise.all([
      row('crm', `select (select count(*)::int from customers) as customers, (select count(*)::int from third_party_log) as "thirdParty"`),
      row(
        'marketing',
        `select (select count(*)::int from crm_customer) as copies, count(*)::int as sent, count(delivered_at)::int as delivered,
           (select count(*)::int from campaigns) as campaigns, (select count(*)::int from campaigns where finished_at is null) as unfinished
         from sends`,
      ),
      row(
        'data-analysis',
        'select (select count(*)::int from campaigns) as campaigns, (select count(*)::int from emails_sent) as sent, (select count(*)::int from emails_delivered) as delivered',
      ),
      row('billing', 'select count(*)::int as copies from crm_customer'),
    ])
    return { crm, marketing, 'data-analysis': analysis, ...(billing === undefined ? {} : { billing }) } as Holdings
  }

  #show({ status, holds }: Look): void {
    const say = (count: number, what: string): string => `${count.toLocaleString('en')} ${what}`
    const held: Partial<Record<TeamName, string[]>> = {
      crm: [say(holds.crm.customers, 'customers'), say(holds.crm.thirdParty, 'emails handed to third parties')],
      marketing: [
        say(holds.marketing.copies, 'copies'),
        say(holds.marketing.sent, 'emails sent'),
        say(holds.marketing.delivered, 'delivered'),
      ],
      'data-analysis': [say(holds['data-analysis'].sent, 'emails sent'), say(holds['data-analysis'].delivered, 'delivered')],
      ...(holds.billing === undefined ? {} : { billing: [say(holds.billing.copies, 'copies')] }),
    }
    const names = Object.keys(held) as TeamName[]
    const views = names.map((name) => ({ name, status: status[name], holds: held[name] ?? [], pid: this.#processes.get(name)?.pid }))
    this.#narrator.panel(panelLines(views, this.#narrator))
  }
}

function summary({ team, outbox, subscriptions }: TeamStatus): string {
  return `${team}: ${outbox.pending} to send; ${subscriptions.map(({ name, lag, waiting }) => `${name} ${lag} behind, ${waiting} wait`).join(', ')}`
}
