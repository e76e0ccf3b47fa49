import { existsSync, readdirSync } from 'node:fs'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { sourceText } from '../docs/errors-page.ts'
import { readPage } from '../docs/page-tables.ts'

/** The files of docs/deployment: they are read by nobody but users and this test. */
const FOLDER = new URL('../../docs/deployment/', import.meta.url)
const run = sourceText('cli/src/commands/run.ts')
const drainSeconds = Number(/DRAIN_SECONDS = (\d+)/.exec(run)?.[1])

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string | number }
  readonly timeoutSeconds: number
  readonly periodSeconds: number
}
interface Container {
  readonly args: readonly string[]
  readonly env: readonly { readonly name: string }[]
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[]
  readonly startupProbe?: Probe
  readonly readinessProbe?: Probe
  readonly livenessProbe?: Probe
}
interface PodSpec {
  readonly containers: readonly Container[]
  readonly initContainers?: readonly Container[]
  readonly terminationGracePeriodSeconds?: number
}
interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec: Record<string, unknown> & {
    readonly template: { readonly metadata: { annotations: Record<string, string> }; readonly spec: PodSpec }
  }
}

function manifests(file: string): readonly Manifest[] {
  return parseAllDocuments(readPage(`docs/deployment/${file}`)).map((document) => {
    expect(document.errors).toEqual([])
    return document.toJS() as Manifest
  })
}
const kind = (all: readonly Manifest[], wanted: string): Manifest => all.find((one) => one.kind === wanted) as Manifest

const kubernetes = manifests('kubernetes.yml')
const cloudRun = manifests('cloud-run.yml')

test('every file of the folder is named on the page', () => {
  const page = readPage('docs/deployment.md')
  for (const file of readdirSync(FOLDER)) if (!file.endsWith('ignore')) expect(page).toContain(`(deployment/${file})`)
})

test('every test and page that deployment.md leads to exists', () => {
  const links = [...readPage('docs/deployment.md').matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, link]) => link as string)
  expect(links.length).toBeGreaterThan(15)
  for (const link of links) expect(existsSync(new URL(link, new URL('../', FOLDER))), link).toBe(true)
})

describe('kubernetes.yml', () => {
  test('is what the API takes: no field that it does not know', () => {
    const kinds: Readonly<Record<string, string>> = { Job: 'batch/v1', Deployment: 'apps/v1', PodDisruptionBudget: 'policy/v1' }
    expect(kubernetes.map((one) => one.kind)).toEqual(Object.keys(kinds))
    for (const { kind: name, apiVersion } of kubernetes) expect(apiVersion).toBe(kinds[name])
    const source = kubernetes.map(
      (one, i) => `export const m${i}: import('kubernetes-types/${one.apiVersion}').${one.kind} = ${JSON.stringify(one)}`,
    )
    const typo = JSON.stringify(kind(kubernetes, 'Deployment')).replace('terminationGracePeriodSeconds', 'terminationGracePeriod')
    source.push(`export const typo: import('kubernetes-types/apps/v1').Deployment = ${typo}`)
    // Only the one that shows that the check bites.
    expect(typeErrors(source.join('\n'))).toEqual([expect.stringMatching(/terminationGracePeriod\W/)])
  })

  const { spec } = kind(kubernetes, 'Deployment').spec.template
  const [container] = spec.containers as [Container]

  test('leaves a process more time than its drain takes', () => {
    expect(drainSeconds).toBe(30)
    expect(spec.terminationGracePeriodSeconds).toBeGreaterThan(drainSeconds + 5)
  })

  test('asks the probes that the command has, at the port that it is given, and waits longer than they may take', () => {
    checkProbes(container)
    const [port] = container.ports ?? []
    expect(port).toEqual({ name: 'probes', containerPort: Number(optionOf(container, '--port')) })
    expect(container.startupProbe?.httpGet).toEqual({ path: '/readyz', port: 'probes' })
    expect(container.readinessProbe?.httpGet).toEqual({ path: '/readyz', port: 'probes' })
    expect(container.livenessProbe?.httpGet).toEqual({ path: '/livez', port: 'probes' })
    const { annotations } = kind(kubernetes, 'Deployment').spec.template.metadata
    expect(annotations['prometheus.io/port']).toBe(optionOf(container, '--port'))
    expect(sourceText('comity/src/http/probes.ts')).toContain(`'${annotations['prometheus.io/path']}'`)
  })

  test('migrates and then provisions, as somebody else than runs', () => {
    const job = kind(kubernetes, 'Job').spec.template.spec
    expect([...(job.initContainers ?? []), ...job.containers].map(({ args }) => args)).toEqual([['migrate'], ['provision']])
    expect(JSON.stringify(job)).toContain('owner-url')
    expect(JSON.stringify(spec)).not.toContain('owner-url')
  })

  test('lets one process go at a time, of those that the deployment has', () => {
    const budget = kind(kubernetes, 'PodDisruptionBudget').spec as unknown as { maxUnavailable: number; selector: object }
    const deployment = kind(kubernetes, 'Deployment').spec as unknown as { replicas: number; selector: object }
    expect(budget.selector).toEqual(deployment.selector)
    expect(budget.maxUnavailable).toBeLessThan(deployment.replicas)
  })
})

describe('cloud-run.yml', () => {
  const service = kind(cloudRun, 'Service').spec.template
  const [container] = service.spec.containers as [Container]

  test('keeps one instance that is never throttled, and asks the probes that the command has', () => {
    expect(service.metadata.annotations).toMatchObject({
      'autoscaling.knative.dev/minScale': '1',
      'run.googleapis.com/cpu-throttling': 'false',
    })
    checkProbes(container)
    expect(container.ports?.[0]?.containerPort).toBe(Number(optionOf(container, '--port')))
    for (const probe of [container.startupProbe, container.livenessProbe])
      expect(probe?.httpGet.port).toBe(container.ports?.[0]?.containerPort)
  })

  test('has a job that migrates as the owner', () => {
    const job = (kind(cloudRun, 'Job').spec.template.spec as unknown as { template: { spec: PodSpec } }).template.spec
    expect(job.containers[0]?.args).toEqual(['migrate'])
  })
})

function checkProbes(container: Container): void {
  expect(container.args[0]).toBe('run')
  expect(optionOf(container, '--host')).toBe('0.0.0.0')
  for (const option of ['--host', '--port']) expect(run).toContain(`'${option} <`)
  const served = sourceText('comity/src/http/probes.ts')
  for (const probe of [container.startupProbe, container.readinessProbe, container.livenessProbe]) {
    if (probe === undefined) continue
    expect(served).toContain(`'${probe.httpGet.path}'`)
    // /readyz gives the database a second.
    expect(probe.timeoutSeconds).toBeGreaterThan(1)
    expect(probe.timeoutSeconds).toBeLessThanOrEqual(probe.periodSeconds * 2)
  }
}

function optionOf({ args }: Container, name: string): string | undefined {
  return args[args.indexOf(name) + 1]
}

function typeErrors(text: string): readonly string[] {
  const file = new URL('manifests-as-types.ts', import.meta.url).pathname
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    noEmit: true,
    strict: true,
    types: [],
    lib: ['lib.es2022.d.ts'],
    skipLibCheck: true,
  }
  const host = ts.createCompilerHost(options)
  const { getSourceFile, fileExists } = host
  host.fileExists = (name) => name === file || fileExists.call(host, name)
  host.getSourceFile = (name, ...rest) =>
    name === file ? ts.createSourceFile(name, text, ts.ScriptTarget.ES2022) : getSourceFile.call(host, name, ...rest)
  const program = ts.createProgram([file], options, host)
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
}
