import { TransactionControlRefused } from './errors.ts'

/** Most statements hold none of these words, and are not looked at any closer. */
const suspicious = /\b(?:begin|start|commit|end|rollback|abort|prepare)\b/i

/** One piece of SQL that is not white space; strings, quoted names and line comments are pieces as a whole. */
const piece =
  /--[^\n]*|\/\*|e'[^'\\]*(?:(?:\\[\s\S]|'')[^'\\]*)*'|'[^']*(?:''[^']*)*'|"[^"]*(?:""[^"]*)*"|\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|[a-z_\u0080-\uffff][\w$\u0080-\uffff]*|\d+|;|[^\s]/giy

const createsRoutine = /^create (?:or replace )?(?:function|procedure)\b/

/**
 * Throws COMITY_TRANSACTION_CONTROL_REFUSED if any statement of the text begins or ends a transaction, also behind comments
 * and behind another statement. A COMMIT inside would cut the work's writes from what Comity records about them.
 */
export function refuseTransactionControl(text: string): void {
  if (!suspicious.test(text)) return
  for (const words of firstWords(text)) {
    if (controlsTransaction(words)) throw new TransactionControlRefused({ statement: words.slice(0, 2).join(' ').toUpperCase() })
  }
}

function controlsTransaction([first, second, third]: readonly string[]): boolean {
  switch (first) {
    case 'begin':
    case 'commit':
    case 'end':
    case 'abort':
      return true
    case 'start':
    case 'prepare':
      return second === 'transaction'
    case 'rollback':
      return second !== 'to' && !((second === 'work' || second === 'transaction') && third === 'to')
    default:
      return false
  }
}

/** The first four words of each statement, in lower case. */
function* firstWords(text: string): Generator<string[]> {
  let words: string[] = []
  // CREATE FUNCTION … BEGIN ATOMIC …; END: the semicolons inside end no statement (the rule is psql's).
  let depth = 0
  let at = 0
  while (at < text.length) {
    piece.lastIndex = at
    const found = piece.exec(text)?.[0].toLowerCase()
    if (found === undefined) {
      at++
      continue
    }
    at += found.length
    if (found.startsWith('--')) continue
    if (found === '/*') at = endOfComment(text, at)
    else if (/^\$.*\$$/.test(found)) at = endOfDollarQuote(text, at, text.slice(at - found.length, at))
    else if (found === ';' && depth === 0) {
      yield words
      words = []
    } else if (/^[a-z]/.test(found) && !found.endsWith("'")) {
      if (createsRoutine.test(words.join(' '))) {
        if (found === 'begin' || (found === 'case' && depth > 0)) depth++
        else if (found === 'end' && depth > 0) depth--
      }
      if (words.length < 4) words.push(found)
    }
  }
  yield words
}

/** Block comments nest in Postgres. */
function endOfComment(text: string, start: number): number {
  const edge = /\/\*|\*\//g
  edge.lastIndex = start
  for (let open = 1; open > 0; ) {
    const found = edge.exec(text)
    if (found === null) return text.length
    open += found[0] === '/*' ? 1 : -1
  }
  return edge.lastIndex
}

function endOfDollarQuote(text: string, start: number, tag: string): number {
  const end = text.indexOf(tag, start)
  return end === -1 ? text.length : end + tag.length
}
