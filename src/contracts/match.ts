/** Patterns of types: `*` stands for one part, `>` at the end for the rest. */

const patternOf = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .split('.')
      .map((token) => (token === '*' ? '[^.]+' : token === '>' ? '.+' : token.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')))
      .join('\\.')}$`,
  );

/** Answers whether a type is one of those that are named. */
export function typeMatcher(types: readonly string[]): (type: string) => boolean {
  const exact = new Set(types.filter((type) => !/[*>]/.test(type)));
  const patterns = types.filter((type) => /[*>]/.test(type)).map(patternOf);
  return (type) => exact.has(type) || patterns.some((pattern) => pattern.test(type));
}
