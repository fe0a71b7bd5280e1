import { Composer, type CST, type Document, Lexer, type ParsedNode, Parser } from 'yaml'

/** A text that is refused before it is read to its end. */
export class Refused extends Error {
  override name = 'Refused'
  readonly at: number
  /** It is too much, not wrong. */
  readonly tooMuch: boolean
  constructor(message: string, at: number, { tooMuch = false } = {}) {
    super(message)
    this.at = at
    this.tooMuch = tooMuch
  }
}

export function tooManyNodes(limit: number, at: number): Refused {
  return new Refused(`more than ${limit} keys and values`, at, { tooMuch: true })
}

/** Levels of lists and mappings. */
export const MAX_DEPTH = 200
/** What the reader opens for each level at most: the list or mapping, and the item that holds it. */
const OPEN_PER_LEVEL = 2
/** Pieces of text (a scalar, a comma, a line's end) that a node is written with, at most, on the average. */
const PIECES_PER_NODE = 6

/**
 * Reads the one document of a text. It is read piece by piece, so that what is too deep or too much is refused
 * at the piece that goes beyond, before anything is made of it. Keys that are there twice are not looked for: the
 * reader compares each with all before it; who walks over the document finds them as well.
 */
export function parseText(
  text: string,
  maxNodes: number,
): { document: Document.Parsed<ParsedNode>; second?: number } {
  const composer = new Composer<ParsedNode>({
    intAsBigInt: true,
    merge: true,
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'error',
  })
  const [document, second] = composer.compose(tokensOf(text, maxNodes), true, text.length)
  return { document: document!, ...(second === undefined ? {} : { second: second.range[0] }) }
}

function* tokensOf(text: string, maxNodes: number): Generator<CST.Token, void> {
  const parser = new Parser()
  let pieces = 0
  for (const piece of new Lexer().lex(text)) {
    yield* parser.next(piece)
    pieces += 1
    if (pieces > maxNodes * PIECES_PER_NODE) {
      throw tooManyNodes(maxNodes, parser.offset)
    }
    if (parser.stack.length > MAX_DEPTH * OPEN_PER_LEVEL + 10) {
      throw new Refused(`it is nested more than ${MAX_DEPTH} levels deep`, parser.offset)
    }
  }
  yield* parser.end()
}
