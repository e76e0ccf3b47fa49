import {
  type Attributes,
  type Context,
  type Counter,
  context,
  createNoopMeter,
  type Histogram,
  type Link,
  metrics,
  type Observable,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import { errorType } from '../log/error-fields.ts'
import {
  type AttributeName,
  type CounterName,
  type HistogramName,
  METRICS,
  type MetricType,
  type ObservableName,
  SPANS,
  type SpanName,
  type SpanType,
} from './signals.ts'
import { contextOf } from './traceparent.ts'

export type SignalAttributes = Readonly<Partial<Record<AttributeName, string | number>>>

/** What a collection reports: one value of one series. */
export type Observe = (name: ObservableName, value: number, attributes?: SignalAttributes) => void

/**
 * The little of OpenTelemetry that the engine speaks. Made when a team starts: an SDK is registered before, for the API has no proxy for meters.
 */
export interface Telemetry {
  /** Whether an SDK was registered, for spans or for metrics, when this was made: if not, nothing is decorated, and nothing is paid. */
  readonly active: boolean
  count(name: CounterName, value: number, attributes: SignalAttributes): void
  record(name: HistogramName, value: number, attributes: SignalAttributes): void
  /** `collect` runs whenever somebody collects metrics; the answer ends that. Whatever it throws leaves a gap, and disturbs nobody. */
  observe(names: readonly ObservableName[], collect: (observe: Observe) => void | Promise<void>): () => void
}

const KINDS = { producer: SpanKind.PRODUCER, client: SpanKind.CLIENT, consumer: SpanKind.CONSUMER } as const

const tracer: Tracer = trace.getTracer('comity')

export function telemetry(): Telemetry {
  const meter = metrics.getMeter('comity')
  const counters = new Map<CounterName, Counter>()
  const histograms = new Map<HistogramName, Histogram>()
  const observables = new Map<ObservableName, Observable>()
  for (const [name, { kind, unit, description }] of Object.entries<MetricType>(METRICS)) {
    const options = { unit, description: plain(description) }
    if (kind === 'counter') counters.set(name as CounterName, meter.createCounter(name, options))
    else if (kind === 'histogram')
      histograms.set(name as HistogramName, meter.createHistogram(name, { ...options, advice: { explicitBucketBoundaries: BOUNDARIES } }))
    else if (kind === 'observable-counter') observables.set(name as ObservableName, meter.createObservableCounter(name, options))
    else observables.set(name as ObservableName, meter.createObservableGauge(name, options))
  }
  return {
    active: meter !== createNoopMeter() || isTracing(),
    count: (name, value, attributes) => counters.get(name)?.add(value, attributes),
    record: (name, value, attributes) => histograms.get(name)?.record(value, attributes),
    observe(names, collect) {
      const instruments = names.map((name) => observables.get(name) as Observable)
      const callback: Parameters<typeof meter.addBatchObservableCallback>[0] = async (result) => {
        try {
          await collect((name, value, attributes) => result.observe(observables.get(name) as Observable, value, attributes))
        } catch {
          // A database that is down: /readyz and the log say so, the series ends here.
        }
      }
      meter.addBatchObservableCallback(callback, instruments)
      return () => meter.removeBatchObservableCallback(callback, instruments)
    },
  }
}

/** A provider that is registered stands behind the API's proxy. */
function isTracing(): boolean {
  const provider = trace.getTracerProvider()
  return !(provider instanceof ProxyTracerProvider) || provider.getDelegateTracer('comity') !== undefined
}

/** Seconds, as the conventions advise for messaging. */
const BOUNDARIES = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]

/** A span of {@link SPANS}. `parent`: ROOT_CONTEXT begins a trace of its own. */
export function startSpan(type: SpanName, of: string, parent: Context, attributes: Attributes): Span {
  const { kind }: SpanType = SPANS[type]
  return tracer.startSpan(`${type} ${of}`, { kind: KINDS[kind], attributes }, parent)
}

/** Links to what created the messages. More than 128 no SDK keeps by default. */
export function linkTo(span: Span, traceparents: Iterable<string | undefined>): void {
  if (!span.isRecording()) return
  const links = new Map<string, Link>()
  for (const traceparent of traceparents) {
    if (traceparent === undefined || links.has(traceparent)) continue
    const spanContext = contextOf(traceparent)
    if (spanContext !== undefined) links.set(traceparent, { context: spanContext })
    if (links.size === MOST_LINKS) break
  }
  if (links.size > 0) span.addLinks([...links.values()])
}
const MOST_LINKS = 128

/** Ends a span that failed. The error's message may hold what belongs to somebody: only its code goes out. */
export function failSpan(span: Span, error: unknown): void {
  span.setAttribute('error.type', errorType(error))
  span.setStatus({ code: SpanStatusCode.ERROR })
}

/** Services outlive the span that was active when they were started: nothing that they do is its child. */
export function outsideOfSpans<Result>(work: () => Result): Result {
  return context.with(ROOT_CONTEXT, work)
}

function plain(description: string): string {
  return description.replaceAll('`', '')
}
