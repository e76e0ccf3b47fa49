import { LOG_EVENTS as CLI_EVENTS } from '../../packages/cli/src/log-events.ts'
import { LOG_EVENTS as ENGINE_EVENTS, LOG_FIELDS, type LogEvent } from '../../packages/comity/src/foundation/log/log-events.ts'
import { ATTRIBUTES, METRICS, type MetricType, SPANS, type SpanType } from '../../packages/comity/src/foundation/telemetry/signals.ts'

/** docs/telemetry.md, made from the registries of spans, metrics and log events. */
export const logEvents: Readonly<Record<string, LogEvent>> = { ...ENGINE_EVENTS, ...(CLI_EVENTS as Readonly<Record<string, LogEvent>>) }
export const metricTypes: Readonly<Record<string, MetricType>> = METRICS
export const spanTypes: Readonly<Record<string, SpanType>> = SPANS

/** As the Prometheus exporter names it. */
export function prometheusName(metric: string): string {
  const name = metric.replaceAll('.', '_')
  return metricTypes[metric]?.kind.endsWith('counter') ? `${name}_total` : name
}

export function telemetryPage(): string {
  return `# Telemetry

Comity speaks OpenTelemetry: spans and metrics by the [semantic conventions for messaging](https://opentelemetry.io/docs/specs/semconv/messaging/),
and some of its own. The library depends on \`@opentelemetry/api\` alone: where no SDK is registered, all of it does nothing. Nothing on this page
ever holds a key, a tenant or a payload. This page is made from the code: \`npx vitest run test/docs -u\`.

## Spans

Register an SDK with a context manager before the team starts, as for any library. A trace travels from team to team in the CloudEvents attribute
\`traceparent\`.

${table(
  ['span', 'kind', 'when', 'attributes'],
  Object.values(spanTypes).map(({ name, kind, description, attributes }) => [code(name), kind, description, codes(attributes)]),
)}

Plain SQL takes part: a transaction that says \`select set_config('comity.traceparent', '00-…', true)\` gives that trace context to everything that
it announces, by a captured table or by \`comity.publish\` without headers of its own. What is not W3C's form is ignored. A handler's transaction says
so by itself, so that what it writes goes on from its span.

What nobody gave a trace context begins a trace at the relay, if its call of \`send\` is sampled there: trace and span are a hash of the message's id,
the same at every resend. Near the transport's limits nothing is added. A team without an SDK passes the trace context of a message on to what its
handler publishes.

## Metrics

\`comity run --port 9464\` (or \`COMITY_PORT\`) shows them at \`/metrics\` for Prometheus, which writes \`_\` for \`.\` and \`_total\` behind counters. In a program
of your own, register a meter provider before the team starts. What is counted in the database or by the broker is asked for only when somebody
collects, and at most every five seconds.

${table(
  ['metric', 'kind', 'unit', 'what', 'attributes'],
  Object.entries(metricTypes).map(([name, { kind, unit, description, attributes }]) => [
    code(name),
    kind.replace('observable-', ''),
    code(unit),
    description,
    codes(attributes),
  ]),
)}

## Attributes

${table(
  ['attribute', 'what'],
  Object.entries(ATTRIBUTES).map(([name, description]) => [code(name), description]),
)}

## Log events

Every line of a log has \`event\`, one of these names, which never change; engines in other languages log the same names with the same fields.
\`team({ logger })\` takes whatever has \`debug\`, \`info\`, \`warn\` and \`error\`, pino for one; \`comity run\` writes JSON lines.

${table(
  ['event', 'level', 'words', 'fields beside `event` and `team`'],
  Object.entries(logEvents).map(([name, { level, message, fields }]) => [code(name), level, message, codes(fields)]),
)}

${table(
  ['field', 'what'],
  Object.entries(LOG_FIELDS).map(([name, description]) => [code(name), description]),
)}

## Probes

\`/livez\` and \`/readyz\` stand beside \`/metrics\`; in a program of your own, \`createServer(probes([team]))\` of \`comity/http\` serves them. They answer 200 or
503 and, in JSON, what was looked at and why it is not well. Nothing is a flag: all of it is computed when it is asked for.

| probe | well if |
|---|---|
| \`/livez\` | each loop has ended its turn, the relay has made a step, and each subscription with messages in flight has moved one, within a minute (or twice what its handlers may take). A database or a broker that is down is no reason: trying again is progress. If not, restart the process |
| \`/readyz\` | the database answers within a second, its schema is this code's, the process is cleared to speak for its team, the broker is reached and takes what is sent, and the relay leads or follows and makes its turns |

## Alerts and a dashboard

[prometheus-rules.yml](../packages/cli/monitoring/prometheus-rules.yml) and [grafana-dashboard.json](../packages/cli/monitoring/grafana-dashboard.json)
are parts of \`@comity/cli\`. A test provokes each rule with a real team in real trouble. \`keeps(…, { freshness: '30s' })\` declares how far behind a
copy may be: an objective, which the metrics show, \`comity status\` compares, and an alert watches.
`
}

function code(text: string): string {
  return `\`${text}\``
}
function codes(names: readonly string[]): string {
  return names.map(code).join(' ')
}
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n')
}
