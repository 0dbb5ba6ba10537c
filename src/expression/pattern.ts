/** Regular expressions: RE2, linear in the length of the text whatever the pattern. */

import { RE2JS } from 're2js';

export const MAX_PATTERN_LENGTH = 1000;
const MAX_CACHED = 256;

/** Patterns that come from events, compiled or refused. */
const cache = new Map<string, RE2JS | string>();

/** The pattern compiled, or what is wrong with it. */
export function compilePattern(pattern: string): RE2JS | string {
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return `the pattern is no regular expression: ${message.replace(/^error parsing regexp: /, '')}`;
  }
}

/** The same through a bounded cache, for patterns that are not known at load; undefined when it is too long. */
export function patternOf(pattern: string): RE2JS | string | undefined {
  const cached = cache.get(pattern);
  if (cached !== undefined) return cached;
  if (pattern.length > MAX_PATTERN_LENGTH) return undefined;
  const compiled = compilePattern(pattern);
  if (cache.size >= MAX_CACHED) {
    const [oldest] = cache.keys();
    if (oldest !== undefined) cache.delete(oldest);
  }
  cache.set(pattern, compiled);
  return compiled;
}
