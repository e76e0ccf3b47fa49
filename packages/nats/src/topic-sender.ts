import { bucketOf } from '@comity/contract'
import { backoff, type Clock, type Fence, highestVersionIn, type OutgoingMessage, TransportForbidden } from 'comity/transport'
import { type ApiAnswer, type Connection, isPassing, refusal, unavailable } from './connection.ts'
import type { Fences } from './fences.ts'
import { subjectOf } from './names.ts'
import type { Publish } from './publish-frames.ts'
import { type TopicStream, topicStream } from './topic-stream.ts'
import { encode, rawHeaders } from './wire-message.ts'

interface PublishAnswer {
  readonly stream: string
  readonly seq: number
  readonly duplicate?: boolean
}

const WRONG_LAST = [10071 /* sequence */, 10070 /* message id */]
/** How often others may be faster before a send gives up for now. */
const ATTEMPTS = 200

/**
 * Sends to one topic, one batch at a time.
 *
 * A batch is plain publishes, of which only the last asks for an acknowledgement, and **a chain**: the first is stored only if the stream's last
 * sequence is the one that is known (`Nats-Expected-Last-Sequence`), each other one only if the message before it in the batch is the stream's
 * last (`Nats-Expected-Last-Msg-Id`; to count sequences on would not do: two writers who begin at the same one would fill each other's gaps). So
 * the server stores a prefix of the batch, without a gap, and then nothing more, whatever goes wrong: another writer in between, a message that it
 * does not take, a batch of an earlier connection that arrives late. The acknowledgement of the last proves all of them. When it fails, the
 * messages of this attempt are counted in the stream, and the rest goes on from there, in order.
 *
 * The same chain turns zombies away. The stream's last sequence is known first, then the fence is checked, then the batch goes: were there a
 * newer fence whose holder has sent to this topic meanwhile, the chain would not fit any more, and the fence is checked again.
 *
 * `Nats-Msg-Id` is of the attempt, never the message's own id: that the broker has seen an id (`duplicate: true`) does not say that it has the
 * message. So its deduplication never finds anything; were it to say so all the same, the stream is looked at.
 */
export class TopicSender {
  readonly #topic: string
  readonly #connection: Connection
  readonly #fences: Fences
  readonly #clock: Clock
  readonly #name: string
  #sends = 0
  #known: TopicStream | undefined
  /** The last sequence of the stream as far as is known. */
  #last = 0
  #busy: Promise<unknown> = Promise.resolve()

  constructor(
    topic: string,
    context: { readonly connection: Connection; readonly fences: Fences; readonly clock: Clock; readonly name: string },
  ) {
    this.#topic = topic
    this.#connection = context.connection
    this.#fences = context.fences
    this.#clock = context.clock
    this.#name = context.name
  }

  /** Resolves when all are stored, or none of the rest ever will be by this fence. */
  send(messages: readonly OutgoingMessage[], fence: Fence | undefined, signal: AbortSignal | undefined): Promise<'stored' | 'stale'> {
    const sent = this.#busy.then(() => {
      signal?.throwIfAborted()
      return this.#send(messages, fence)
    })
    this.#busy = sent.catch(() => undefined)
    return sent
  }

  async #send(messages: readonly OutgoingMessage[], fence: Fence | undefined): Promise<'stored' | 'stale'> {
    try {
      return await this.#sendAll(messages, fence)
    } catch (error) {
      this.#known = undefined // what the stream's last sequence is, nobody knows now
      throw error
    }
  }

  async #sendAll(messages: readonly OutgoingMessage[], fence: Fence | undefined): Promise<'stored' | 'stale'> {
    const highest = fence ? highestVersionIn(messages) : 0
    let prepared: readonly Publish[] = []
    let preparedFor = 0
    let done = 0
    let most = messages.length
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const stream = this.#known ?? (await this.#look())
      if (fence) {
        if (fence.team !== stream.team && !stream.senders.includes(fence.team)) throw forbidden(this.#topic, stream.team)
        if (!(await this.#fences.admit(fence, highest))) return 'stale'
      }
      if (preparedFor !== stream.buckets) {
        const subjects = Array.from({ length: stream.buckets }, (_, bucket) => subjectOf(this.#topic, bucket))
        prepared = messages.map((message) => ({ subject: subjects[bucketOf(message.key, stream.buckets)] as string, ...encode(message) }))
        preparedFor = stream.buckets
      }
      const base = this.#last
      const send = `${this.#name}.${++this.#sends}`
      const batch = prepared.slice(done, done + most)
      const answer = await this.#publish(batch, base, send)
      if (answer !== undefined && answer.error === undefined) {
        if (answer.stream === stream.stream && answer.seq === base + batch.length && answer.duplicate !== true) {
          this.#last = answer.seq
          done += batch.length
          if (done === prepared.length) return 'stored'
          most = Math.min(messages.length, most * 2)
          continue
        }
      } else if (answer !== undefined && !WRONG_LAST.includes(answer.error?.err_code ?? 0)) {
        throw refusal(answer.error as NonNullable<typeof answer.error>, `topic ${this.#topic}`)
      }
      // Somebody else wrote, or a message in the middle was not taken.
      const stored = await this.#countStored(stream, batch, base, send)
      done += stored
      if (done === prepared.length) {
        this.#last = base + stored
        return 'stored'
      }
      const before = this.#last
      await this.#look()
      // Nobody wrote, and the first did not pass: alone it gets the server's own answer.
      if (stored === 0 && this.#last === before) most = 1
      await this.#clock.sleep(backoff(Math.min(attempt, 4), { min: 2, max: 50 }))
    }
    throw unavailable(`others wrote to topic ${this.#topic} before us ${ATTEMPTS} times in a row`)
  }

  async #look(): Promise<TopicStream> {
    const found = await topicStream(this.#connection, this.#topic)
    this.#known = found
    this.#last = found.lastSequence
    return found
  }

  /** Undefined if no stream listens to the subject (any more). */
  async #publish(batch: readonly Publish[], base: number, send: string): Promise<ApiAnswer<PublishAnswer> | undefined> {
    const publishes = batch.map(({ subject, lines, payload }, n) => {
      const after = n === 0 ? `Nats-Expected-Last-Sequence: ${base}` : `Nats-Expected-Last-Msg-Id: ${send}.${n - 1}`
      return { subject, lines: `${after}\r\nNats-Msg-Id: ${send}.${n}\r\n${lines}`, payload }
    })
    const { subject, lines, payload } = publishes.pop() as Publish
    await this.#connection.publish(publishes)
    try {
      return (await this.#connection.request(subject, payload, rawHeaders(lines))).json()
    } catch (error) {
      if (!isPassing(error)) throw error
      this.#known = undefined
      // Names the topic if that is what is missing; else what is stored remains unknown.
      await this.#look().catch((trouble: unknown) => {
        if (!isPassing(trouble)) throw trouble
      })
      throw error
    }
  }

  /** How many of this attempt are in the stream: they are a prefix, right after `base`, so halving finds its end. */
  async #countStored({ stream }: TopicStream, batch: readonly Publish[], base: number, send: string): Promise<number> {
    let [stored, absent] = [0, batch.length + 1]
    while (absent - stored > 1) {
      const middle = (stored + absent) >> 1
      if (await this.#isOurs(stream, base + middle, `${send}.${middle - 1}`)) stored = middle
      else absent = middle
    }
    return stored
  }

  async #isOurs(stream: string, seq: number, id: string): Promise<boolean> {
    const verb = `STREAM.MSG.GET.${stream}`
    const answer = await this.#connection.ask<{ readonly message: { readonly hdrs?: string } }>(verb, { seq })
    if (answer.error && answer.error.code !== 404) throw refusal(answer.error, verb)
    if (answer.error) return false
    return Buffer.from(answer.message.hdrs ?? '', 'base64')
      .toString('latin1')
      .includes(`\r\nNats-Msg-Id: ${id}\r\n`)
  }
}

function forbidden(topic: string, team: string): Error {
  return new TransportForbidden({ transport: 'nats', reason: `topic ${topic} belongs to team ${team}`, remedy: 'send as its owner' })
}
