/** Prints each failed test of a report that vitest wrote with `--reporter=json`, with the beginning and the end of what it said: for the end of a long log. */
import { readFileSync } from 'node:fs'

const SHOWN = 700
const [file] = process.argv.slice(2)
const { testResults } = JSON.parse(readFileSync(file, 'utf8'))
for (const { name, message, status, assertionResults } of testResults) {
  const failed = assertionResults.filter((one) => one.status === 'failed')
  for (const { fullName, failureMessages } of failed) say(fullName, failureMessages.join('\n'))
  if (status === 'failed' && failed.length === 0) say(name, message) // it could not be loaded
}

function say(name, message) {
  const text = message.length > 2 * SHOWN ? `${message.slice(0, SHOWN)}\n[…]\n${message.slice(-SHOWN)}` : message
  process.stdout.write(`failed: ${name}\n${text.replaceAll(/^/gm, '  ')}\n`)
}
