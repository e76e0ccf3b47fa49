/** Asks again until there is an answer, every few milliseconds; fails with `what` after the patience. */
export async function eventually<Value>(
  what: string,
  ask: () => Promise<Value | undefined> | Value | undefined,
  patience = 60_000,
): Promise<Value> {
  for (const end = performance.now() + patience; performance.now() < end; ) {
    const answer = await ask()
    if (answer !== undefined) return answer
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`not within ${patience} ms: ${what}`)
}
