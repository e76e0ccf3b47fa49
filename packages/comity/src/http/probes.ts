import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Health } from './health.ts'

/** What can be probed: a team. */
export interface Probed {
  readonly name: string
  /** Whether everything that runs here makes progress; if not, only a restart helps. */
  live(): Health
  /** Whether this process can do its work now. */
  ready(): Promise<Health>
}

/**
 * A handler for `node:http`: `/livez` and `/readyz` answer 200 or 503 with `{ "ok": …, "teams": { "<team>": { "ok": …, "checks": […] } } }`,
 * `/metrics` what `metrics` writes (the OpenTelemetry exporter of your process, say), anything else 404. That it answers at all says that the
 * process's event loop turns.
 */
export function probes(teams: readonly Probed[], options: { readonly metrics?: RequestListener } = {}): RequestListener {
  return (request, response) => {
    void answer(request, response).catch((error: unknown) => send(response, 500, { ok: false, reason: String(error) }))
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname
    if (request.method !== 'GET' && request.method !== 'HEAD') send(response, 405, { ok: false, reason: 'only GET and HEAD' })
    else if (path === '/livez') report(response, await healthOfAll((team) => team.live()))
    else if (path === '/readyz') report(response, await healthOfAll((team) => team.ready()))
    else if (path === '/metrics' && options.metrics) options.metrics(request, response as never)
    else send(response, 404, { ok: false, reason: `there is no ${path}: ask for /livez, /readyz${options.metrics ? ' or /metrics' : ''}` })
  }

  async function healthOfAll(look: (team: Probed) => Health | Promise<Health>): Promise<readonly (readonly [string, Health])[]> {
    return Promise.all(teams.map(async (team) => [team.name, await look(team)] as const))
  }
}

function report(response: ServerResponse, all: readonly (readonly [string, Health])[]): void {
  const ok = all.every(([, health]) => health.ok)
  send(response, ok ? 200 : 503, { ok, teams: Object.fromEntries(all) })
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(`${JSON.stringify(body)}\n`)
}
