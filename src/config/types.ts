/** The section `types`: versions of an event, how old ones become new ones, and what its data must look like. */
import { z } from 'zod';
import type { Path } from '../expression/index.ts';
import { localTransformers } from '../pipeline/transformers/index.ts';
import { optionalShape, present } from './components.ts';
import { eventType, expression, filePath, type IssueDetails } from './fields.ts';

const MAX_VERSION = 1000;

/** What makes one version the next: transformers that need nothing but the event, so that it always comes out the same. */
const step = z.strictObject(optionalShape(localTransformers)).superRefine((value, context) => {
  present(value, context, localTransformers, 'at least one');
  const moves = Object.entries((value.rename ?? {}) as Readonly<Record<string, Path>>);
  const written = [
    ...Object.keys(value.set ?? {}).map((path) => ({ path, at: ['set', path] })),
    ...moves.map(([from, to]) => ({ path: to.source, at: ['rename', from] })),
    ...moves.map(([from]) => ({ path: from, at: ['rename', from] })),
  ];
  for (const { path, at } of written) {
    if (path !== 'type') continue;
    const hint = 'it is looked up by its type; change that in the pipeline of a consumer';
    const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE', hint };
    const message = 'an upcast does not change the type of an event';
    context.addIssue({ code: 'custom', message, path: at, params: { ...params } });
  }
});

const versionKey = z.string().superRefine((value, context) => {
  if (/^[1-9]\d{0,3}$/.test(value)) return;
  const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE', hint: 'for example `1: { set: … }`' };
  const message = `"${value}" is no version: a version is a whole number, from 1`;
  context.addIssue({ code: 'custom', message, params: { ...params } });
});

const type = z
  .strictObject({
    version: z
      .number()
      .int()
      .min(1)
      .max(MAX_VERSION)
      .default(1)
      .describe('The newest version: what consumers see, and what `schema` describes.'),
    schema: z
      .union([filePath(), z.record(z.string(), z.json())])
      .optional()
      .describe(
        'What the data must look like: a JSON Schema (2020-12 or draft-07), as the path of a JSON or YAML file, relative to the file that names it, or written here. In the fleet it is always written here. An event that does not fit is a dead letter, reason `invalid`.',
      ),
    upcast: z
      .record(versionKey, step)
      .default({})
      .describe(
        'Version → what makes it the next one, in the words of `transformers`. The steps apply one after another.',
      ),
    version_from: expression()
      .optional()
      .describe(
        'Where the version of an event stands, as a whole number (`event.data.v`). Looked at where the event has no extension `dataversion` that is one. Default: the number at the end of its `dataschema` (`…/orders.created.1.json`, `…/v1`). Where nothing says a version it is 1.',
      ),
    oldest: z
      .number()
      .int()
      .min(1)
      .max(MAX_VERSION)
      .default(1)
      .describe(
        'The oldest version that is still understood. What is older is a dead letter, reason `unknown_version`.',
      ),
    newer: z
      .enum(['dead_letter', 'accept'])
      .default('dead_letter')
      .describe(
        'What becomes of an event of a newer version than `version`: a dead letter, reason `unknown_version`, to be driven again when the new version is known here; or it is taken as it is, if it fits `schema`.',
      ),
  })
  .superRefine(({ version, upcast, oldest }, context) => {
    const report = (message: string, hint: string, path: string[]): void => {
      const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE', hint };
      context.addIssue({ code: 'custom', message, path, params: { ...params } });
    };
    if (oldest > version) report('the oldest version is above the newest', `it is at most ${version}`, ['oldest']);
    for (let from = oldest; from < version; from++)
      if (!Object.hasOwn(upcast, from))
        report(
          `nothing makes version ${from} into ${from + 1}`,
          `write \`upcast: { ${from}: { set: … } }\`, or \`oldest: ${from + 1}\` if no event of version ${from} comes any more`,
          Object.keys(upcast).length > 0 ? ['upcast'] : ['version'],
        );
    for (const key of Object.keys(upcast)) {
      const from = Number(key);
      if (from >= version)
        report(
          `version ${from} is not made into a newer one: the newest is ${version}`,
          'raise `version`, or remove it',
          ['upcast', key],
        );
      else if (from < oldest)
        report(`version ${from} is older than \`oldest\` (${oldest})`, 'remove it, or lower `oldest`', ['upcast', key]);
    }
  });

export const types = z
  .record(eventType(), type)
  .prefault({})
  .describe(
    'What is known of types of events, by type (`orders.created`). Every consumer that gets one of them sees its newest version, checked against its schema.',
  );

/** One entry of the section. */
export type TypeConfig = z.output<typeof type>;
