import { ComityError } from '@comity/contract'
import {
  SubscriptionUnknown,
  TopicUnknown,
  TransportFailed,
  TransportForbidden,
  TransportUnavailable,
  TransportUnsupported,
} from 'comity/transport'

/** What a call was about, to name it in an error. */
export interface Subject {
  readonly topic?: string
  readonly subscription?: string
  /** The right that it needs, e.g. `roles/pubsub.publisher on the topic crm.customer`. */
  readonly needs: string
}

// Status codes of gRPC: https://grpc.github.io/grpc/core/md_doc_statuscodes.html
const NOT_FOUND = 5
const ALREADY_EXISTS = 6
const PERMISSION_DENIED = 7
const UNIMPLEMENTED = 12
const UNAUTHENTICATED = 16
/** Cancelled, unknown, deadline exceeded, resource exhausted, aborted, internal, unavailable: the same call may succeed later. */
const passing = new Set([1, 2, 4, 8, 10, 13, 14])

/** Any error of the client as an error of the transport layer. */
export function translateServiceError(error: unknown, { topic, subscription, needs }: Subject): ComityError {
  if (error instanceof ComityError) return error
  const { message: reason, code } = error as Error & { code?: unknown }
  const transport = 'google-pubsub'
  const cause = { cause: error }
  if (code === NOT_FOUND && subscription !== undefined) return new SubscriptionUnknown({ subscription }, cause)
  if (code === NOT_FOUND && topic !== undefined) return new TopicUnknown({ topic }, cause)
  if (code === PERMISSION_DENIED || code === UNAUTHENTICATED || /default credentials/i.test(reason)) {
    const remedy = `grant ${needs} to the account whose credentials this process has (\`gcloud auth application-default login\` sets yours); the transport's access() prints all grants`
    return new TransportForbidden({ transport, reason, remedy }, cause)
  }
  if (code === UNIMPLEMENTED) {
    const remedy =
      "the service can do this; Google's emulator seeks subscriptions with ordering to snapshots only: snapshot() and seekToSnapshot()"
    return new TransportUnsupported({ transport, reason, remedy }, cause)
  }
  // Without a number it is the client's or the operating system's: refused, reset, timed out, ended.
  if (typeof code !== 'number' || passing.has(code)) return new TransportUnavailable({ transport, reason }, cause)
  return new TransportFailed({ transport, reason }, cause)
}

/** Whether waiting and repeating can help. */
export function isPassing(error: unknown): boolean {
  return error instanceof TransportUnavailable
}

export const saysNotFound = (error: unknown): boolean => (error as { code?: unknown }).code === NOT_FOUND
export const saysItExists = (error: unknown): boolean => (error as { code?: unknown }).code === ALREADY_EXISTS
