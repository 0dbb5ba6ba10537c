/** CSV as RFC 4180 has it. */

/** A record, and the line of the file that it begins in. */
export interface CsvRecord {
  readonly line: number;
  readonly fields: readonly string[];
}

/** What is wrong with a table. */
export class TableError extends Error {
  /** The line of the file, from 1; undefined where it is none in particular. */
  readonly line: number | undefined;

  constructor(message: string, line?: number) {
    super(message);
    this.name = 'TableError';
    this.line = line;
  }
}

const QUOTE = '"';

/**
 * The records of a text, one after another. Lines may end in CRLF or LF; an empty line is none.
 *
 * @param delimiter One character.
 * @throws TableError for a quote in the wrong place
 */
export function* csvRecords(text: string, delimiter: string): Generator<CsvRecord> {
  let at = 0;
  let line = 1;
  while (at < text.length) {
    const fields: string[] = [];
    const begun = line;
    const start = at;
    for (;;) {
      let field = '';
      if (text[at] === QUOTE) {
        const opened = line;
        let from = at + 1;
        for (;;) {
          const end = text.indexOf(QUOTE, from);
          if (end < 0) throw new TableError('a quoted field is not closed', opened);
          const piece = text.slice(from, end);
          for (let next = piece.indexOf('\n'); next >= 0; next = piece.indexOf('\n', next + 1)) line++;
          field += piece;
          at = end + 1;
          if (text[at] !== QUOTE) break;
          field += QUOTE;
          from = at + 1;
        }
        const next = text[at];
        if (next !== undefined && next !== delimiter && next !== '\n' && !text.startsWith('\r\n', at))
          throw new TableError(`a quoted field is followed by ${JSON.stringify(next)}`, line);
      } else {
        const from = at;
        while (at < text.length && text[at] !== delimiter && text[at] !== '\n') at++;
        field = text.slice(from, at);
        if (text[at] !== delimiter && field.endsWith('\r')) field = field.slice(0, -1);
        if (field.includes(QUOTE)) throw new TableError('a field that holds a quote must be quoted', line);
      }
      fields.push(field);
      if (text[at] !== delimiter) break;
      at++;
    }
    const empty = fields.length === 1 && fields[0] === '' && text[start] !== QUOTE;
    if (text[at] === '\r') at++;
    if (text[at] === '\n') at++;
    line++;
    if (!empty) yield { line: begun, fields };
  }
}
