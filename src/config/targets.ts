import { z } from 'zod';
import { targets as components } from '../deliver/targets/index.ts';
import { optionalShape, present } from './components.ts';
import { retryOverride } from './defaults.ts';
import { duration, named } from './fields.ts';
import { throttle } from './flow/limits.ts';
import { alone, PLUGIN_KEY, pluginShape } from './plugins.ts';

/** A target: exactly one component's key, and what all targets have. */
export const target = z
  .strictObject({
    ...optionalShape(components),
    ...pluginShape,
    retry: retryOverride().describe(
      'How deliveries here are tried again, where it differs from the consumer and `defaults`.',
    ),
    throttle: throttle('all that is delivered here, by whichever consumer,'),
    timeout: duration().optional().describe("How long one delivery here may take. Default: the consumer's timeout."),
  })
  .superRefine((value, context) => {
    present(value, context, [...components, PLUGIN_KEY], 'exactly one');
    alone(value, context, []);
  });

export const targets = named(target).prefault({}).describe('Targets by name: where events are delivered.');

export type TargetConfig = z.output<typeof target>;
