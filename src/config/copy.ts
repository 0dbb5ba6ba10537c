/** Changing plain values without touching what was read: what stays the same is shared. */

type Keyed = Record<string, unknown>;

/** A list or a mapping with the same items. */
export const copyOf = (value: object): Keyed =>
  (Array.isArray(value) ? [...(value as unknown[])] : { ...value }) as Keyed;

/**
 * A list or a mapping with each item as `change` answers it. One in which nothing changes is the same object, and no
 * path is kept: what `change` is given is valid until it returns.
 */
export function mapItems(value: object, change: (item: unknown, key: string) => unknown): object {
  let changed: Keyed | undefined;
  for (const [key, item] of Object.entries(value)) {
    const next = change(item, key);
    if (next !== item) (changed ??= copyOf(value))[key] = next;
  }
  return changed ?? value;
}
