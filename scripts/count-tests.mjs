/**
 * Prints `passed failed skipped` of a report that vitest wrote with `--reporter=json`; a missing or broken report is one failure. What was skipped is named on
 * standard error.
 */
import { readFileSync } from 'node:fs'

const [file] = process.argv.slice(2)
try {
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(readFileSync(file, 'utf8'))
  // A file that can not be loaded fails without a single test of its own.
  const brokenFiles = testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && assertionResults.every((one) => one.status !== 'failed'),
  )
  for (const { fullName, status } of testResults.flatMap(({ assertionResults }) => assertionResults)) {
    if (status !== 'passed' && status !== 'failed') process.stderr.write(`skipped: ${fullName}\n`)
  }
  process.stdout.write(`${numPassedTests} ${numFailedTests + brokenFiles.length} ${numPendingTests + numTodoTests}\n`)
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.stdout.write('0 1 0\n')
}
