/**
 * The bucket (broker side) or lane (in a process) of a key: FNV-1a, 32 bits, over the UTF-8 bytes, modulo `count`.
 * One function for both, so that a lane holds whole buckets wherever the counts divide each other.
 * Fowler–Noll–Vo: http://www.isthe.com/chongo/tech/comp/fnv/
 */
export function bucketOf(key: string, count: number): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) {
    const code = key.charCodeAt(i)
    if (code < 0x80) {
      hash = Math.imul(hash ^ code, 0x01000193)
    } else {
      for (const byte of Buffer.from(key.slice(i), 'utf8')) hash = Math.imul(hash ^ byte, 0x01000193)
      break
    }
  }
  return (hash >>> 0) % count
}
