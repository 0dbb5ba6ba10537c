/** The root of the configuration; one file a section. */
import { z } from 'zod';
import { access } from './access.ts';
import { consumers } from './consumers.ts';
import { defaults } from './defaults.ts';
import { filters } from './filters.ts';
import { http } from './http.ts';
import { nats } from './nats.ts';
import { plugins } from './plugins.ts';
import { runtime } from './runtime.ts';
import { sources } from './sources.ts';
import { streams } from './streams.ts';
import { targets } from './targets.ts';
import { telemetry } from './telemetry.ts';
import { transformers } from './transformers.ts';
import { types } from './types.ts';

export const configSchema = z.strictObject({
  version: z.literal(1).describe('Version of this format.'),
  defaults,
  runtime,
  nats,
  http,
  telemetry,
  streams,
  types,
  filters,
  transformers,
  targets,
  consumers,
  sources,
  plugins,
  access,
});

/** A configuration that was read: durations in milliseconds, sizes in bytes, expressions parsed. */
export type Config = z.output<typeof configSchema>;

export type { AccessEntry } from './access.ts';
export type { ConsumerConfig, RouteConfig, StageConfig } from './consumers.ts';
export type { RetryOverride } from './defaults.ts';
export type { SourceConfig } from './sources.ts';
export type { TargetConfig } from './targets.ts';
export type { TypeConfig } from './types.ts';

/** Sections in which each key is a name that the user gives. */
export const NAMED_SECTIONS = [
  'streams',
  'types',
  'filters',
  'transformers',
  'targets',
  'consumers',
  'sources',
] as const;
