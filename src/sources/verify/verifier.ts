/**
 * How a source knows that a request comes from whom it says: one file each, and one line in `verify/index.ts`, which
 * enrols it in the schema, the docs and the conformance test.
 */
import type { z } from 'zod';
import type { RequestView } from '../../expression/index.ts';

/** What is looked at: headers with names in lower case, and the body as it came. */
export interface UncheckedRequest {
  readonly headers: ReadonlyMap<string, string>;
  /** Empty where the verifier does not need it. */
  readonly body: Buffer;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/**
 * Undefined: it is verified. Else why not, for the log of who runs this: whoever sent it is not told which part was wrong.
 */
export type Verdict = string | undefined;

export interface Verifier {
  /** Whether it looks at the body. One that does not is asked before the body is read. */
  readonly needsBody: boolean;
  /** @throws OuzelError OIDC_UNAVAILABLE */
  verify(request: UncheckedRequest): Verdict | Promise<Verdict>;
  /** The id that such senders give what they send: the same when they send it again. */
  idOf?(request: RequestView): unknown;
  /** What a request is answered with that brings no event, but asks whether somebody is there. */
  handshake?(request: RequestView): Readonly<Record<string, unknown>> | undefined;
  /** Lets go of connections. */
  close?(): void;
}

export interface VerifierComponent<Name extends string = string, Schema extends z.ZodType = z.ZodType> {
  /** Its key in `verify`. */
  readonly name: Name;
  readonly summary: string;
  readonly example: string;
  readonly options: Schema;
  /** Makes it ready, without I/O. */
  prepare(options: z.output<Schema>): Verifier;
}

/** Lets the options of `prepare` be typed by the schema beside it. */
export const defineVerifier = <const Name extends string, Schema extends z.ZodType>(
  component: VerifierComponent<Name, Schema>,
): VerifierComponent<Name, Schema> => component;
