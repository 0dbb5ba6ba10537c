/** Why an expression has no value for this event. A value, not an exception: a missing field is common, and throwing costs microseconds. */

type FaultKind = 'missing_field' | 'evaluation';

/** Why an expression has no value for this event. `offset` and `length` are positions in the source of the expression or template. */
export class Fault {
  readonly kind: FaultKind;
  readonly message: string;
  readonly offset: number;
  readonly length: number;
  /** `event.data.a.b`, for a missing field: as the configuration writes it, never with values of the event in it. */
  readonly path: string | undefined;
  /** The value that did not fit, for an evaluation fault. */
  readonly value: unknown;

  constructor(
    kind: FaultKind,
    message: string,
    offset: number,
    length: number,
    details: { readonly path?: string; readonly value?: unknown } = {},
  ) {
    this.kind = kind;
    this.message = message;
    this.offset = offset;
    this.length = length;
    this.path = details.path;
    this.value = details.value;
  }
}

/** Whether an expression's answer is a {@link Fault} instead of a value. */
export const isFault = (value: unknown): value is Fault => value instanceof Fault;

/** A place in the source at which a fault can occur. */
export class Site {
  readonly offset: number;
  readonly length: number;

  constructor(offset: number, length: number) {
    this.offset = offset;
    this.length = length;
  }

  fault(message: string, value?: unknown): Fault {
    return new Fault('evaluation', message, this.offset, this.length, { value });
  }

  missing(path: string): Fault {
    return new Fault('missing_field', `${path} is not there`, this.offset, this.length, { path });
  }
}

/** Work that recurses into a value: one that is nested too deep for the stack is a fault, not an exception. */
export function guardDepth(site: Site, work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError) return site.fault('the value is nested too deep');
    throw error;
  }
}
