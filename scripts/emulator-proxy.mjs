/**
 * Stands before Google's emulator and does for it what it does not do itself: when a client is gone without a goodbye, its streams are cancelled, but
 * only after its leases have run out. Never cancelled, a dead stream would get a share of the ordering keys for ever; cancelled at once, what is queued
 * behind its messages would go to other clients before them (both seen with 528.0.0). gRPC over plain HTTP/2.
 */
import http2 from 'node:http2'

const { HTTP2_HEADER_STATUS, NGHTTP2_CANCEL } = http2.constants
/** gRPC takes messages of megabytes: a window of 64 KiB would wait for each. */
const WINDOW = 8 * 1024 * 1024
/** The deadline of the tests' subscriptions and a little more, in milliseconds. */
const LEASES = 10_500
const settings = { initialWindowSize: WINDOW }

/**
 * @param may what whoever comes this way has the right to: asked of each call, with its method and the resource that it names. The emulator has no IAM.
 * @returns the port where it listens; `close` ends it and every connection.
 */
export async function emulatorProxy(target, may = undefined) {
  const server = http2.createServer({ settings })
  const sessions = new Set()
  server.on('session', (near) => {
    near.setLocalWindowSize(WINDOW)
    near.on('error', () => undefined)
    const far = http2.connect(`http://127.0.0.1:${target}`, { settings })
    far.on('error', () => undefined)
    far.on('connect', () => far.setLocalWindowSize(WINDOW))
    for (const session of [near, far]) sessions.add(session)
    near.on('close', () => afterLeases(() => far.destroy(undefined, NGHTTP2_CANCEL)))
    far.on('close', () => near.destroy())
    for (const session of [near, far]) session.on('close', () => sessions.delete(session))
    near.on('stream', (stream, headers) => {
      if (may === undefined) forward(stream, headers, far)
      else guard(stream, headers, may, () => forward(stream, headers, far))
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: server.address().port,
    close() {
      for (const session of sessions) session.destroy()
      server.close()
    },
  }
}

/** A client that is gone: what it was given is the emulator's again. */
function afterLeases(act) {
  setTimeout(act, LEASES).unref()
}

/** Lets a call through once its first message has said what it is about. */
function guard(near, headers, may, pass) {
  near.on('error', () => undefined)
  let have = Buffer.alloc(0)
  const look = (chunk) => {
    have = Buffer.concat([have, chunk])
    const resource = resourceIn(have)
    if (resource === undefined) return
    near.off('data', look)
    near.pause()
    near.unshift(have)
    const method = headers[':path'].slice(headers[':path'].lastIndexOf('/') + 1)
    if (may(method, resource)) return pass()
    const denied = { 'grpc-status': '7', 'grpc-message': 'User not authorized to perform this action.' }
    near.respond({ [HTTP2_HEADER_STATUS]: 200, 'content-type': 'application/grpc', ...denied }, { endStream: true })
  }
  near.on('data', look)
}

/** The first field of every request of Pub/Sub is the name that it is about; before it come five bytes of gRPC's, a tag and the name's length. */
function resourceIn(bytes) {
  if (bytes.length < 7) return undefined
  let [length, at, shift] = [0, 6, 0]
  for (; at < bytes.length; shift += 7) {
    const byte = bytes[at++]
    length |= (byte & 0x7f) << shift
    if (byte < 0x80) return bytes.length < at + length ? undefined : bytes.toString('utf8', at, at + length)
  }
  return undefined
}

function forward(near, headers, far) {
  near.on('error', () => undefined)
  if (far.destroyed) return near.close(NGHTTP2_CANCEL)
  const upstream = far.request(headers, { waitForTrailers: false })
  upstream.on('error', () => near.close(NGHTTP2_CANCEL))
  near.pipe(upstream, { end: false })
  near.on('end', () => !near.aborted && upstream.end())
  let trailers
  upstream.on('response', (answer, flags) => {
    if (near.destroyed) return
    // An answer of headers alone is how gRPC says an error at once.
    const endStream = (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0
    const { [HTTP2_HEADER_STATUS]: status, ...rest } = answer
    near.respond({ [HTTP2_HEADER_STATUS]: status, ...rest }, { waitForTrailers: !endStream, endStream })
    near.on('wantTrailers', () => near.sendTrailers(trailers ?? {}))
    if (!endStream) upstream.pipe(near)
  })
  upstream.on('trailers', (given) => {
    trailers = given
  })
  const cancel = () => upstream.close(near.rstCode || NGHTTP2_CANCEL)
  near.on('close', () => {
    if (near.session !== undefined && !near.session.destroyed) return cancel()
    upstream.unpipe(near)
    upstream.resume()
    afterLeases(cancel)
  })
  upstream.on('close', () => !near.destroyed && upstream.rstCode !== 0 && near.close(upstream.rstCode))
}
