import { context, metrics, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'

export interface RegisteredSdk extends Disposable {
  readonly spans: () => readonly ReadableSpan[]
  forget(): void
  /** What /metrics answers. */
  scrape(): Promise<string>
}

/** The real SDK, exporting into memory, for as long as it is used. */
export function registeredSdk(): RegisteredSdk {
  const exporter = new InMemorySpanExporter()
  const prometheus = new PrometheusExporter({ preventServerStart: true, withoutScopeInfo: true, withoutTargetInfo: true })
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [prometheus] }))
  return {
    spans: () => exporter.getFinishedSpans(),
    forget: () => exporter.reset(),
    async scrape() {
      const { resourceMetrics, errors } = await prometheus.collect()
      if (errors.length > 0) throw errors[0]
      return new PrometheusSerializer(undefined, false, undefined, true, true).serialize(resourceMetrics)
    },
    [Symbol.dispose]() {
      for (const api of [context, trace, metrics]) api.disable()
    },
  }
}
