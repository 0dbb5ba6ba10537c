import { z } from 'zod';
import { ExpressionError, parseTemplate, type ScopeKind, Template } from '../expression/index.ts';
import { publishOptions } from '../sources/publish.ts';
import { sources as components } from '../sources/index.ts';
import { optionalShape, present } from './components.ts';
import { type IssueDetails, named } from './fields.ts';
import { expressionsIn } from './walk.ts';

const source = z
  .strictObject({
    ...optionalShape(components),
    publish: publishOptions.describe('What becomes of it: a message in a stream.'),
  })
  .superRefine((value, context) => {
    present(value, context, components, 'exactly one');
    const kind: ScopeKind = value.schedule === undefined ? 'request' : 'schedule';
    for (const { expression, path } of expressionsIn(value.publish)) {
      const error = expression instanceof Template ? errorOf(expression, kind) : undefined;
      if (error === undefined) continue;
      const { message, offset, length, hint } = error;
      const params: IssueDetails = { code: 'CONFIG_EXPRESSION', offset, length, hint };
      context.addIssue({ code: 'custom', message, path: ['publish', ...path], params: { ...params } });
    }
  });

/** What of a template is not there for this kind of source. */
function errorOf({ source: text }: Template, kind: ScopeKind): ExpressionError | undefined {
  try {
    parseTemplate(text, kind);
    return undefined;
  } catch (error) {
    if (error instanceof ExpressionError) return error;
    throw error;
  }
}

export const sources = named(source)
  .prefault({})
  .describe('Sources by name: what turns something else into events in a stream.');

export type SourceConfig = z.output<typeof source>;
