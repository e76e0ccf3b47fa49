export { type AdversarialTransport, type AdversaryOptions, adversarialTransport } from './adversarial-transport.ts'
export type { Misdeed } from './adversary/misdeeds.ts'
export type {
  Acknowledgement,
  Ask,
  BoundObservation,
  Change,
  ChangeOutcome,
  Effect,
  Fault,
  Observations,
  Operation,
  OutboxObservation,
  Publication,
  Read,
  ReplicaChange,
  ReplicaObservation,
  RequestObservation,
  RequestOutcome,
  Row,
  Send,
  SubscriptionObservation,
  TopicPromise,
  TroubleObservation,
  WriteBegin,
  WriteEnd,
} from './history-checker/history.ts'
export type { Violation, ViolationClass } from './history-checker/violation.ts'
export { checkHistory, type HistoryChecker, historyChecker, type Judgement, type JudgementCounts } from './history-checker.ts'
export { type LifecycleLawsOptions, type LifecycleSubject, lifecycleLaws } from './lifecycle-laws.ts'
export { type TestBus, type TestTeam, type TestTeamOptions, testBus, testTeam } from './test-team.ts'
export { type LawBroker, type LawsApi, lawsFor, type TransportLawsOptions, transportLaws } from './transport-laws.ts'
