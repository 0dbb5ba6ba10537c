/** The values of expressions that JSON does not have. Maps written in an expression are `Map`, those of an event plain objects. */

/** Kept apart from the objects of an event, whose fields can be selected. */
abstract class CelValue {
  abstract readonly celType: string;
}

/** A point in time with nanoseconds; `seconds` is whole and `nanos` is 0 to 999,999,999. */
export class Timestamp extends CelValue {
  readonly celType = 'timestamp';
  readonly seconds: number;
  readonly nanos: number;

  constructor(seconds: number, nanos: number) {
    super();
    this.seconds = seconds;
    this.nanos = nanos;
  }

  static fromMillis(millis: number): Timestamp {
    const seconds = Math.floor(millis / 1000);
    return new Timestamp(seconds, Math.round((millis - seconds * 1000) * 1e6));
  }

  get millis(): number {
    return this.seconds * 1000 + Math.floor(this.nanos / 1e6);
  }
}

/** A length of time; `seconds` is whole (rounded down) and `nanos` is 0 to 999,999,999. */
export class Duration extends CelValue {
  readonly celType = 'duration';
  readonly seconds: number;
  readonly nanos: number;

  constructor(seconds: number, nanos: number) {
    super();
    this.seconds = seconds;
    this.nanos = nanos;
  }
}

/** What `.?` answers: a value or nothing. */
export class Optional extends CelValue {
  readonly celType = 'optional';
  readonly present: boolean;
  readonly value: unknown;

  private constructor(present: boolean, value: unknown) {
    super();
    this.present = present;
    this.value = value;
  }

  static readonly none: Optional = new Optional(false, undefined);
  static of(value: unknown): Optional {
    return new Optional(true, value);
  }
}

/** What `type()` answers. */
export class CelType extends CelValue {
  readonly celType = 'type';
  readonly name: string;

  constructor(name: string) {
    super();
    this.name = name;
  }
}

export type Num = number | bigint;
export const isNum = (value: unknown): value is Num => typeof value === 'number' || typeof value === 'bigint';

/** A map of either kind: an object of an event, or a map written in an expression. */
export const isMap = (value: unknown): value is Readonly<Record<string, unknown>> | ReadonlyMap<unknown, unknown> =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  !(value instanceof CelValue) &&
  !(value instanceof Uint8Array);

/** The value of an own property of any kind of map; undefined when it is not there. Never looks at prototypes. */
export function lookup(target: unknown, key: unknown): unknown {
  if (typeof target !== 'object' || target === null) return undefined;
  if (Array.isArray(target)) {
    return typeof key === 'number' && Number.isInteger(key) ? (target[key] as unknown) : undefined;
  }
  if (target instanceof Map) return (target as ReadonlyMap<unknown, unknown>).get(key);
  if (typeof key !== 'string' || !Object.hasOwn(target, key) || !isMap(target)) return undefined;
  return (target as Readonly<Record<string, unknown>>)[key];
}

export function entriesOf(map: object): Iterable<readonly [unknown, unknown]> {
  return map instanceof Map ? (map as ReadonlyMap<unknown, unknown>).entries() : Object.entries(map);
}

export const sizeOfMap = (map: object): number => (map instanceof Map ? map.size : Object.keys(map).length);

/** The name of a value's type, for messages: `number` for every number, since int and double are one. */
function typeName(value: unknown): string {
  switch (typeof value) {
    case 'number':
    case 'bigint':
      return 'number';
    case 'boolean':
      return 'bool';
    case 'string':
      return 'string';
    case 'object':
      if (value === null) return 'null';
      if (Array.isArray(value)) return 'list';
      if (value instanceof Uint8Array) return 'bytes';
      if (value instanceof CelValue) return value.celType;
      return 'map';
    default:
      return typeof value;
  }
}

const TYPES = new Map(
  [
    'int',
    'uint',
    'double',
    'bool',
    'string',
    'bytes',
    'list',
    'map',
    'null_type',
    'type',
    'optional_type',
    'google.protobuf.Timestamp',
    'google.protobuf.Duration',
  ].map((name) => [name, new CelType(name)]),
);

/** The type that a bare name such as `string` stands for. */
export const typeNamed = (name: string): CelType | undefined => TYPES.get(name);

/** The answer of `type(value)`: a whole number is an `int`, another a `double`. */
export function typeOf(value: unknown): CelType {
  const name = typeName(value);
  const celName =
    name === 'number'
      ? typeof value === 'bigint' || Number.isInteger(value)
        ? 'int'
        : 'double'
      : name === 'null'
        ? 'null_type'
        : name === 'timestamp'
          ? 'google.protobuf.Timestamp'
          : name === 'duration'
            ? 'google.protobuf.Duration'
            : name === 'optional'
              ? 'optional_type'
              : name;
  return TYPES.get(celName) ?? new CelType(celName);
}

/** As in CEL: whole numbers, strings and bools. */
export const isMapKey = (value: unknown): value is string | Num | boolean =>
  typeof value === 'string' || typeof value === 'boolean' || typeof value === 'bigint' || Number.isInteger(value);

/** The type of a value as a phrase: `a number`, `an optional`, `null`. */
export function aTypeName(value: unknown): string {
  const name = typeName(value);
  return name === 'null' || name === 'bytes' ? name : `${name === 'optional' ? 'an' : 'a'} ${name}`;
}
