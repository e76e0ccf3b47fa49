import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Team } from 'comity'
import { probes } from 'comity/http'
import { MonitoringNotStarted } from './errors.ts'

export interface Monitoring {
  /** Where it listens. */
  readonly url: string
  close(): Promise<void>
}

/**
 * Makes this process collect metrics for Prometheus. Call it before a team starts. Where the configuration has registered an OpenTelemetry SDK of
 * its own, metrics go where that sends them, and `/metrics` says so.
 */
export async function collectMetrics(): Promise<RequestListener> {
  // Loaded by whoever asks for it: it is most of what this command would load otherwise.
  const [{ metrics }, { MeterProvider }, { PrometheusExporter }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-metrics'),
    import('@opentelemetry/exporter-prometheus'),
  ])
  const exporter = new PrometheusExporter({ preventServerStart: true, withoutScopeInfo: true, withoutTargetInfo: true })
  if (metrics.setGlobalMeterProvider(new MeterProvider({ readers: [exporter] })))
    return (request, response) => exporter.getMetricsRequestHandler(request, response)
  return (_, response) => {
    response.writeHead(404, { 'content-type': 'text/plain' })
    response.end("the configuration registers a meter provider of its own: metrics are where that one's readers send them\n")
  }
}

/** `/livez`, `/readyz` and `/metrics` of the teams that run here. */
export async function monitoring(
  teams: readonly Team[],
  { port, host, metrics }: { readonly port: number; readonly host: string; readonly metrics: RequestListener },
): Promise<Monitoring> {
  const server = createServer(probes(teams, { metrics }))
  await listen(server, port, host)
  const { address, port: bound, family } = server.address() as AddressInfo
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${bound}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => reject(new MonitoringNotStarted({ address: `${host}:${port}`, reason: cause.message }, { cause })))
    server.listen(port, host, resolve)
  })
}
