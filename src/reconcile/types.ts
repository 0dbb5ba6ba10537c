/** The first steps of a consumer whose events have types that are known: `upcast`, then `schema`. */
import type { Config, TypeConfig } from '../config/schema.ts';
import { typeMatcher } from '../contracts/match.ts';
import { upcastStep, versionOf, type VersionRules } from '../contracts/upcast.ts';
import { type SchemaProblem, schemaStep, type Schemas } from '../contracts/validate.ts';
import type { Outcome, Step } from '../core/plan.ts';
import type { Run } from '../core/run.ts';
import { OuzelError } from '../errors.ts';
import type { Evaluate, Expression } from '../expression/index.ts';
import type { PipelineComponent, StageContext } from '../pipeline/component.ts';
import { localTransformers } from '../pipeline/transformers/index.ts';
import type { Cell } from '../telemetry/cells.ts';

/** What `explain` says of an event of a known type. */
export interface VersionShown {
  readonly type: string;
  /** As it came, and as it goes on; undefined where a schema is all there is to say. */
  readonly came?: number;
  readonly newest?: number;
  /** The file of the schema, as it is shown. */
  readonly schema?: string | undefined;
}

/** What the steps need of the plan that they are part of. */
interface TypeContext {
  readonly schemas: Schemas | undefined;
  readonly bind: (expression: Expression) => Evaluate;
  readonly missing: (path: string) => void;
  count(type: string, version: string): Cell;
  /** The error of an event that does not fit its schema; left out, that of a consumer. */
  readonly invalid?: (type: string, problems: readonly SchemaProblem[]) => OuzelError;
}

interface TypeStage {
  readonly kind: 'upcast' | 'schema';
  readonly step: Step;
  readonly version: (run: Run) => VersionShown | undefined;
}

/** The entries of `types` that a consumer may get events of. */
export function typesOf({ types, consumers }: Config, consumer: string): [string, TypeConfig][] {
  const wanted = consumers[consumer]?.types;
  const matches = wanted === undefined ? () => true : typeMatcher(wanted);
  return Object.entries(types).filter(([type]) => matches(type));
}

/** The steps for events of these types; none where there are none. */
export function typeSteps(known: readonly (readonly [string, TypeConfig])[], context: TypeContext): TypeStage[] {
  if (known.length === 0) return [];
  const rules = new Map(known.map(([type, entry]) => [type, rulesOf(type, entry, context)]));
  const upcast: TypeStage = {
    kind: 'upcast',
    step: upcastStep(rules),
    version: (run) => {
      const found = rules.get(run.event.type);
      return found && { type: found.type, came: versionOf(found, run), newest: found.version };
    },
  };
  const schemas = schemasOf(known, context.schemas);
  if (schemas.size === 0) return [upcast];
  const schema: TypeStage = {
    kind: 'schema',
    step: schemaStep(schemas, context.invalid),
    version: ({ event: { type } }) => {
      const found = schemas.get(type);
      return found && { type, schema: found.file };
    },
  };
  return [upcast, schema];
}

function rulesOf(type: string, entry: TypeConfig, context: TypeContext): VersionRules {
  const { version, oldest, newer, upcast, version_from: source } = entry;
  return {
    type,
    version,
    oldest,
    acceptsNewer: newer === 'accept',
    versionFrom: source === undefined ? undefined : { evaluate: context.bind(source), source },
    upcasts: new Map(
      Object.entries(upcast).map(([from, step]) => [
        Number(from),
        compileUpcast(step, `${type} ${from} → ${Number(from) + 1}`, context),
      ]),
    ),
    count: (came) => context.count(type, came),
  };
}

const LOCAL = localTransformers as readonly unknown[] as readonly PipelineComponent[];

/** The transformers of one upcast, in their order. */
function compileUpcast(upcast: object, name: string, types: TypeContext): Step[] {
  const given = new Map<string, unknown>(Object.entries(upcast));
  // All that a transformer needs which looks at nothing but the event.
  const context = {
    name,
    bind: (expression) => types.bind(expression),
    missing: (path) => types.missing(path),
  } as Pick<StageContext, 'name' | 'bind' | 'missing'> as StageContext;
  return LOCAL.filter((component) => given.get(component.name) !== undefined).map((component) =>
    component.compile(given.get(component.name), context),
  );
}

function schemasOf(known: readonly (readonly [string, TypeConfig])[], schemas: Schemas | undefined): Schemas {
  return new Map(
    known.flatMap(([type, { schema }]) => {
      if (schema === undefined) return [];
      const compiled = schemas?.get(type);
      if (compiled === undefined) throw new OuzelError('INTERNAL', `the schema of ${type} was not loaded`);
      return [[type, compiled] as const];
    }),
  );
}

/** The step that lets pass only the types that a consumer names. */
export function typesStep(types: readonly string[], other: Outcome): Step {
  const matches = typeMatcher(types);
  return { name: 'types', run: ({ event }) => (matches(event.type) ? undefined : other) };
}
