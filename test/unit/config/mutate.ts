/** Repeatable pseudo-random numbers: mulberry32. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const PIECES = [
  '"',
  "'",
  '{',
  '}',
  '[',
  ']',
  ':',
  ': ',
  ',',
  '#',
  ' #',
  '\n',
  '\t',
  '  ',
  '- ',
  '|',
  '>',
  '&a',
  '*a',
  '!',
  '!!str ',
  '?',
  '? ',
  '${',
  '}',
  '${X}',
  '$${',
  '${X:-',
  '${file:',
  '{{',
  '}}',
  '\\',
  '\0',
  '\ufeff',
  '😀',
  '\ud800',
  '<<: ',
  '__proto__: 1',
  'constructor',
  'null',
  'true',
  '0x1f',
  '1e999',
  '.nan',
  '---\n',
  '...\n',
  '%YAML 1.1\n',
  '\r',
  '\u2028',
  'filters.big',
  'event.data',
  '&&',
  '(',
  ')',
];

/** The text with a few pieces put in, taken out or doubled. */
export function mutate(text: string, next: () => number): string {
  let result = text;
  for (let count = 1 + Math.floor(next() * 4); count > 0; count--) {
    const at = Math.floor(next() * result.length);
    const length = Math.floor(next() ** 3 * 40);
    const piece = PIECES[Math.floor(next() * PIECES.length)] ?? '';
    const kind = next();
    if (kind < 0.4) result = result.slice(0, at) + piece + result.slice(at);
    else if (kind < 0.6) result = result.slice(0, at) + result.slice(at + 1 + length);
    else if (kind < 0.8) result = result.slice(0, at) + piece + result.slice(at + 1 + length);
    else {
      const from = Math.floor(next() * result.length);
      result = result.slice(0, at) + result.slice(from, from + length) + result.slice(at);
    }
  }
  return result;
}

/** What decides where an entry ends. */
const LINES = [
  '',
  '# comment',
  'a: 1',
  'a:',
  '- a',
  'a: |',
  'a: |+',
  'a: >-',
  'a: |2',
  '"a": 1',
  '? a',
  '}',
  ']',
  'a: {',
  'a: [',
  'a: "',
  '"',
  "'",
  'a: b',
  'a: &x b',
  'a: *x',
  '<<: { a: 1 }',
  'null: 1',
  'consumers:',
  'filters: # these',
  '---',
  '\ta: 1',
  'a: 1\r',
];

/** The text with a line put in at any depth, taken out, doubled or moved further in. */
export function mutateLines(text: string, next: () => number): string {
  const lines = text.split('\n');
  const at = Math.floor(next() * lines.length);
  const line = lines[at] ?? '';
  const kind = next();
  if (kind < 0.5) {
    const added = LINES[Math.floor(next() * LINES.length)] ?? '';
    lines.splice(at, 0, ' '.repeat(Math.floor(next() * 8)) + added);
  } else if (kind < 0.65) lines.splice(at, 1);
  else if (kind < 0.8) lines.splice(Math.floor(next() * lines.length), 0, line);
  else if (kind < 0.9) lines[at] = ` ${line}`;
  else lines[at] = line.replace(/^ /, '');
  return lines.join('\n');
}
