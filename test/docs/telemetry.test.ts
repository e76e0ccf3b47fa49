import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { LOG_FIELDS } from '../../packages/comity/src/foundation/log/log-events.ts'
import { ATTRIBUTES } from '../../packages/comity/src/foundation/telemetry/signals.ts'
import { sourcesOf, sourceText } from './errors-page.ts'
import { logEvents, metricTypes, prometheusName, spanTypes, telemetryPage } from './telemetry-page.ts'

const REGISTRIES = /(^|\/)(signals|log-events)\.ts$/
const sources = sourcesOf(/\.ts$/).map((path) => ({ path, text: sourceText(path) }))
const code = sources.filter(({ path }) => !REGISTRIES.test(path))
const file = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

test('docs/telemetry.md lists every span, metric and log event, and no other (npx vitest run test/docs -u)', async () => {
  await expect(telemetryPage()).toMatchFileSnapshot('../../docs/telemetry.md')
})

test('every log event is logged, and every line that is logged is one of them', () => {
  const logged = new Set(code.flatMap(({ text }) => [...text.matchAll(/logEvent\([^']*'([^']+)'/g)].map(([, name]) => name as string)))
  expect([...logged].sort()).toEqual(Object.keys(logEvents).sort())
  // `comity dev` speaks to a person in front of it.
  const free = code.filter(({ path }) => !/^cli\/src\/(dev\/|commands\/dev\.ts)|foundation\/log\//.test(path))
  expect(free.filter(({ text }) => /\b(log|logger|silentLogger)\)?\.(debug|info|warn|error)\(/.test(text)).map(({ path }) => path)).toEqual(
    [],
  )
})

test('every metric is counted, recorded or observed; every span is started; every attribute and field is used', () => {
  const unused = (names: readonly string[]): readonly string[] =>
    names.filter((name) => !code.some(({ text }) => text.includes(`'${name}'`)))
  expect(unused(Object.keys(metricTypes))).toEqual([])
  expect(unused(Object.keys(ATTRIBUTES))).toEqual([])
  const started = code.flatMap(({ text }) => [...text.matchAll(/startSpan\('(\w+)'/g)].map(([, name]) => name as string))
  expect([...new Set(started)].sort()).toEqual(Object.keys(spanTypes).sort())
  const fields = new Set(Object.values(logEvents).flatMap((event) => event.fields))
  // The first two are on every line, the others on lines that a handler writes.
  expect(Object.keys(LOG_FIELDS).filter((name) => !fields.has(name as never))).toEqual(['event', 'team', 'tenant'])
})

test('what speaks OpenTelemetry names its attributes from the list', () => {
  const named = code.flatMap(({ text }) =>
    [...text.matchAll(/'((?:messaging|error|comity)\.[a-z_.]+)'/g)].map(([, name]) => name as string),
  )
  const known = [...Object.keys(ATTRIBUTES), ...Object.keys(metricTypes), ...Object.keys(logEvents), ...Object.keys(LOG_FIELDS)]
  const settings = ['comity.traceparent', 'comity.relay', 'comity.config.ts']
  expect(named.filter((name) => !known.includes(name) && !settings.includes(name) && /^(messaging|error)\./.test(name))).toEqual([])
})

test('rules and dashboard show metrics of the list, and the dashboard shows each', () => {
  const names = new Map(Object.keys(metricTypes).map((metric) => [prometheusName(metric), metric]))
  const shown = (text: string): readonly string[] =>
    [...text.matchAll(/\b(?:comity|messaging)_[a-z_]+(?=[{[\s)]|$)/g)].map(([name]) => name).filter((name) => !isLabel(name))
  const dashboard = shown(expressions(file('packages/cli/monitoring/grafana-dashboard.json')).join('\n'))
  const rules = shown(
    [...file('packages/cli/monitoring/prometheus-rules.yml').matchAll(/expr:([\s\S]*?)\n\s+for:|expr:(.*)/g)]
      .map(([text]) => text)
      .join('\n'),
  )
  const metricOf = (name: string): string | undefined => names.get(name) ?? names.get(name.replace(/_bucket$/, ''))
  expect([...dashboard, ...rules].filter((name) => metricOf(name) === undefined)).toEqual([])
  expect(new Set(dashboard.map(metricOf))).toEqual(new Set(Object.keys(metricTypes)))
})

function isLabel(name: string): boolean {
  return Object.keys(ATTRIBUTES).some((attribute) => attribute.replaceAll('.', '_') === name)
}

function expressions(dashboard: string): readonly string[] {
  const { panels } = JSON.parse(dashboard) as { panels: { targets: { expr: string }[] }[] }
  return panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
}
