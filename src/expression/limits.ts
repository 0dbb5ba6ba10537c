/** The bounds of what an expression can make of an event. */

/** Characters of a string, and bytes. */
export const MAX_STRING = 16 * 1024 * 1024;
/** Elements of a list. */
export const MAX_LIST = 1_000_000;
