/** One statement of an SQL text, as it goes to the server. */
export interface Statement {
  /** Without the closing semicolon and the space around it; comments stay, as some are read by the server. */
  text: string
  /** Where `text` begins in the SQL it was cut from. */
  offset: number
  /** Line of its first word there, from 1. */
  line: number
  /** Its first word in upper case: SELECT, CREATE. */
  keyword: string
}

/**
 * Cuts SQL at the semicolons that end a statement: not those in quotes, comments, parentheses or the
 * `BEGIN ATOMIC` body of a function. What holds nothing but comments is no statement.
 */
export function splitStatements(sql: string): Statement[] {
  const statements: Statement[] = []
  const lineOf = lineCounter(sql)
  let from = 0
  let firstToken = -1
  let keyword = ''
  let parentheses = 0
  let body = atomicBody()

  const cut = (end: number) => {
    if (firstToken !== -1) {
      const rest = sql.slice(from, end)
      const offset = from + (rest.length - rest.trimStart().length)
      statements.push({ text: rest.trim(), offset, line: lineOf(firstToken), keyword })
    }
    from = end + 1
    firstToken = -1
    keyword = ''
    parentheses = 0
    body = atomicBody()
  }

  for (let at = 0; at < sql.length; ) {
    const char = sql[at]!
    if (SPACE.has(char)) {
      at++
      continue
    }
    const afterComment = endOfComment(sql, at)
    if (afterComment !== at) {
      at = afterComment
      continue
    }
    if (char === ';') {
      if (parentheses === 0 && !body.open()) cut(at)
      at++
      continue
    }
    if (firstToken === -1) firstToken = at
    const word = wordAt(sql, at)
    if (word !== '') {
      at += word.length
      keyword ||= word.toUpperCase()
      // E'...' is the one kind of string in which a backslash escapes; the E must be a word of its own.
      if ((word === 'E' || word === 'e') && sql[at] === "'") at = endOfEscapeString(sql, at)
      else if (parentheses === 0) body.see(word.toLowerCase())
      continue
    }
    if (char === '(') parentheses++
    else if (char === ')') parentheses = Math.max(0, parentheses - 1)
    at = endOfToken(sql, at)
  }
  cut(sql.length)
  return statements
}

const SPACE = new Set([' ', '\t', '\n', '\r', '\f', '\v'])
const WORD = /[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y
const NUMBER = /[0-9][A-Za-z0-9_.]*/y
const DOLLAR_TAG = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y
const CONTINUED = /[ \t\f\v]*[\n\r]\s*'/y

function matchAt(pattern: RegExp, sql: string, at: number): string {
  pattern.lastIndex = at
  return pattern.exec(sql)?.[0] ?? ''
}

function wordAt(sql: string, at: number): string {
  return matchAt(WORD, sql, at)
}

/** The place after the token at `at`, which is no word, space or comment. */
function endOfToken(sql: string, at: number): number {
  const char = sql[at]
  // A doubled quote reads as two strings side by side: it ends at the same place.
  if (char === "'" || char === '"') return after(sql, char, at + 1)
  if (char === '$') {
    const tag = matchAt(DOLLAR_TAG, sql, at)
    return tag === '' ? at + 1 : after(sql, tag, at + tag.length)
  }
  return at + Math.max(1, matchAt(NUMBER, sql, at).length)
}

/** Something that is never closed runs to the end: the server says what is wrong with it. */
function after(sql: string, closing: string, from: number): number {
  const found = sql.indexOf(closing, from)
  return found === -1 ? sql.length : found + closing.length
}

function endOfEscapeString(sql: string, quote: number): number {
  for (let at = quote + 1; at < sql.length; at++) {
    if (sql[at] === '\\') at++
    else if (sql[at] === "'") {
      if (sql[at + 1] === "'") {
        at++
        continue
      }
      // Strings with only a line break between them are one string, of the kind of the first.
      const joint = matchAt(CONTINUED, sql, at + 1)
      if (joint === '') return at + 1
      at += joint.length
    }
  }
  return sql.length
}

/** The place after the comment at `at`; `at` itself when there is none. */
function endOfComment(sql: string, at: number): number {
  if (sql.startsWith('--', at)) {
    let end = at + 2
    while (end < sql.length && sql[end] !== '\n' && sql[end] !== '\r') end++
    return end
  }
  if (!sql.startsWith('/*', at)) return at
  let depth = 1
  let end = at + 2
  while (end < sql.length && depth > 0) {
    if (sql.startsWith('/*', end)) {
      depth++
      end += 2
    } else if (sql.startsWith('*/', end)) {
      depth--
      end += 2
    } else end++
  }
  return end
}

/** Follows the words of one statement and knows whether a `BEGIN ATOMIC ... END` body is open. */
function atomicBody() {
  let words = 0
  let creates = false
  let routine = false
  let previous = ''
  let depth = 0
  return {
    see(word: string) {
      words++
      if (words === 1) creates = word === 'create'
      // CREATE [OR REPLACE] FUNCTION: the kind is the second or the fourth word.
      else if (words <= 4 && creates && (word === 'function' || word === 'procedure')) routine = true
      if (routine) {
        if (depth === 0 && previous === 'begin' && word === 'atomic') depth = 1
        else if (depth > 0 && word === 'case') depth++
        else if (depth > 0 && word === 'end') depth--
      }
      previous = word
    },
    open: () => depth > 0,
  }
}

function lineCounter(sql: string): (offset: number) => number {
  let line = 1
  let counted = 0
  // Asked in ascending order only, so that a long text is counted once.
  return (offset) => {
    for (; counted < offset; counted++) if (sql[counted] === '\n') line++
    return line
  }
}
