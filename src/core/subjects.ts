/** Patterns of NATS subjects: `*` stands for one token, `>` at the end for one or more. */

/** Whether some subject matches both patterns. */
export function overlaps(left: string, right: string): boolean {
  const a = left.split('.');
  const b = right.split('.');
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const x = a[index];
    const y = b[index];
    if (x === '>' || y === '>') return x !== undefined && y !== undefined;
    if (x === undefined || y === undefined) return false;
    if (x !== '*' && y !== '*' && x !== y) return false;
  }
  return true;
}

/** Whether every subject that the second pattern matches is matched by the first. */
export function covers(wide: string, narrow: string): boolean {
  const a = wide.split('.');
  const b = narrow.split('.');
  for (const [index, x] of a.entries()) {
    const y = b[index];
    if (x === '>') return y !== undefined;
    if (y === undefined || y === '>' || (x !== '*' && x !== y)) return false;
  }
  return a.length === b.length;
}
