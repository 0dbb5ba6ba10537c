/** What is to be known of a statement without understanding it: where `$1`, `$2` … stand that are parameters. */

/** Texts, names and comments, in which a `$1` is none; and parameters. */
const TOKENS =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|--[^\n]*|\/\*[^]*?\*\/|\$([A-Za-z_]\w*)?\$[^]*?\$\1\$|[A-Za-z_][\w$]*|\$(?<number>\d+)/g;

/** The numbers of the parameters that a statement has, each once and in order. */
export function parametersOf(text: string): number[] {
  const numbers = [...text.matchAll(TOKENS)].flatMap(({ groups }) =>
    groups?.['number'] === undefined ? [] : [Number(groups['number'])],
  );
  return [...new Set(numbers)].toSorted((a, b) => a - b);
}

/** The statement as SQLite has it, where `$1` would be a name: `?1`. */
export const forSqlite = (text: string): string =>
  text.replace(TOKENS, (whole, _tag: unknown, number: string | undefined) =>
    number === undefined ? whole : `?${number}`,
  );
