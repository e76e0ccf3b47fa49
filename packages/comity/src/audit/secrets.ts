/** Bits of a place: the place of a row is the beginning of the keyed hash of its key. */
export const PLACE_BITS = 31

/**
 * What is hashed before a key, and before a row, in hexadecimal. `secret` are the 32 bytes of the audit's own key.
 *
 * SHA-256 with the secret in front, not HMAC, which would cost a second hash for each row: a canonical row is prefix-free (it says how many
 * fields and bytes follow), and no more than half of a hash is ever shown, so nothing can be appended to what was hashed.
 */
export function secretsOf(secret: string): readonly [key: string, row: string] {
  return [`${secret}6b`, `${secret}72`]
}
