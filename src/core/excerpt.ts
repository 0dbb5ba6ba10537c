/** The beginning of a body, for people: bounded, whatever its size. */

const decoder = new TextDecoder();

/** The body as text, or the beginning of it; `whole` says which. Only what is shown is decoded. */
export function excerptOf(
  body: Uint8Array | string,
  longest: number,
): { readonly text: string; readonly whole: boolean } {
  const whole = body.length <= longest;
  if (typeof body === 'string') return { text: whole ? body : body.slice(0, longest).toWellFormed(), whole };
  // A character cut in half at the end shows as a replacement mark, which is left out.
  return whole
    ? { text: decoder.decode(body), whole }
    : { text: decoder.decode(body.subarray(0, longest)).replace(/\ufffd+$/, ''), whole };
}
