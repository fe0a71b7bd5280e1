import { type Expression, Parser } from './expression.ts'
import { fail, located } from './failure.ts'
import { LIMITS } from './limits.ts'
import { cut, type Piece } from './tokens.ts'

/** A template's text, parsed. */
export type Statement =
  | { kind: 'text'; text: string }
  | { kind: 'output'; value: Expression }
  | { kind: 'if'; branches: { test: Expression | undefined; body: Statement[] }[] }
  | {
      kind: 'for'
      names: string[]
      list: Expression
      filter: Expression | undefined
      body: Statement[]
      otherwise: Statement[]
    }
  | { kind: 'set'; names: string[]; value: Expression }
  | { kind: 'capture'; name: string; body: Statement[] }

export function parseTemplate(source: string): Statement[] {
  const reader = new Reader(cut(source), source)
  const body = reader.body([])
  return body.statements
}

/** Puts pieces together to nested statements. */
class Reader {
  readonly #pieces: Piece[]
  readonly #source: string
  #at = 0
  #depth = 0

  constructor(pieces: Piece[], source: string) {
    this.#pieces = pieces
    this.#source = source
  }

  /** Statements up to one of the words in `until`, whose parser is handed back, past the word. */
  body(until: string[]): { statements: Statement[]; word: string; rest: Parser } {
    if (++this.#depth > LIMITS.depth) fail(`its statements are nested more than ${LIMITS.depth} deep`)
    const statements: Statement[] = []
    for (;;) {
      const piece = this.#pieces[this.#at++]
      if (piece === undefined) {
        if (until.length > 0) fail(`{% ${until.at(-1)} %} is missing at the end`)
        return { statements, word: '', rest: new Parser([]) }
      }
      if (piece.kind === 'text') statements.push(piece)
      else {
        try {
          if (piece.kind === 'output') statements.push({ kind: 'output', value: Parser.whole(piece.tokens) })
          else {
            const rest = new Parser(piece.tokens)
            const word = rest.name('the word of a statement')
            if (until.includes(word)) {
              this.#depth--
              return { statements, word, rest }
            }
            statements.push(this.#statement(word, rest))
          }
        } catch (error) {
          throw located(error, this.#source, piece.at)
        }
      }
    }
  }

  #statement(word: string, rest: Parser): Statement {
    if (word === 'if') return this.#if(rest)
    if (word === 'for') return this.#for(rest)
    if (word === 'set') return this.#set(rest)
    return fail(`{% ${word} %} is not known here; there are if, elif, else, for, set and raw`)
  }

  #if(rest: Parser): Statement {
    const branches: { test: Expression | undefined; body: Statement[] }[] = []
    let test: Expression | undefined = last(rest)
    for (;;) {
      const {
        statements,
        word,
        rest: next,
      } = this.body(test === undefined ? ['endif'] : ['elif', 'else', 'endif'])
      branches.push({ test, body: statements })
      if (word === 'elif') test = last(next)
      else {
        next.end()
        if (word === 'endif') return { kind: 'if', branches }
        test = undefined
      }
    }
  }

  #for(rest: Parser): Statement {
    const names = this.#names(rest)
    if (!rest.takeName('in')) fail('expected "in" after the names of a for')
    const list = rest.or()
    const filter = rest.takeName('if') ? rest.expression() : undefined
    rest.end()
    const { statements, word, rest: next } = this.body(['else', 'endfor'])
    next.end()
    let otherwise: Statement[] = []
    if (word === 'else') {
      const ended = this.body(['endfor'])
      ended.rest.end()
      otherwise = ended.statements
    }
    return { kind: 'for', names, list, filter, body: statements, otherwise }
  }

  #set(rest: Parser): Statement {
    const names = this.#names(rest)
    if (rest.takeSign('=')) {
      const value = rest.tuple()
      rest.end()
      return { kind: 'set', names, value }
    }
    rest.end()
    const { statements, rest: next } = this.body(['endset'])
    next.end()
    return { kind: 'capture', name: names[0]!, body: statements }
  }

  #names(rest: Parser): string[] {
    const bracket = rest.takeSign('(')
    const names = [rest.name('a name')]
    while (rest.takeSign(',')) names.push(rest.name('a name'))
    if (bracket && !rest.takeSign(')')) fail('expected ")" after the names')
    return names
  }
}

function last(rest: Parser): Expression {
  const expression = rest.expression()
  rest.end()
  return expression
}
