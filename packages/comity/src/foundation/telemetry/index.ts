export { METRICS, SPANS } from './signals.ts'
export { failSpan, linkTo, type Observe, outsideOfSpans, type SignalAttributes, startSpan, type Telemetry, telemetry } from './telemetry.ts'
export { contextOf, parentOf, traceparentOf } from './traceparent.ts'
