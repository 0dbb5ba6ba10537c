/** Which traces are recorded: the samplers that OpenTelemetry specifies, over ids that are bytes. */
import type { Ids } from './trace-context.ts';

export interface Sampler {
  /** Whether the decision of the trace's beginning elsewhere is followed. */
  readonly parentBased: boolean;
  /** The share of the others that is recorded, 0 to 1. */
  readonly ratio: number;
}

/** How many parts a trace id's range is divided into. */
const RANGE = 0xffff_ffff;

/**
 * The sampler that the environment asks for, else one that follows the parent and records this share of the rest.
 *
 * @param warn Hears of a value that is not understood.
 */
export function samplerFrom(
  env: Readonly<Record<string, string | undefined>>,
  sample: number,
  warn: (message: string) => void,
): Sampler {
  const name = env['OTEL_TRACES_SAMPLER']?.trim() ?? '';
  const parentBased = name.startsWith('parentbased_');
  switch (name.replace('parentbased_', '')) {
    case '':
      return { parentBased: true, ratio: sample };
    case 'always_on':
      return { parentBased, ratio: 1 };
    case 'always_off':
      return { parentBased, ratio: 0 };
    case 'traceidratio': {
      const argument = env['OTEL_TRACES_SAMPLER_ARG']?.trim() ?? '';
      const ratio = argument === '' ? 1 : Number(argument);
      if (ratio >= 0 && ratio <= 1) return { parentBased, ratio };
      warn(`OTEL_TRACES_SAMPLER_ARG is "${argument}" and not a number from 0 to 1; every trace is sampled`);
      return { parentBased, ratio: 1 };
    }
    default:
      warn(`OTEL_TRACES_SAMPLER is "${name}", which is not known here; telemetry.traces.sample is used`);
      return { parentBased: true, ratio: sample };
  }
}

/** Decides by the trace id alone, as OpenTelemetry's `TraceIdRatioBased` for JavaScript does: all who see it agree. */
export function isSampled(ratio: number, { bytes, at }: Ids): boolean {
  if (ratio >= 1) return true;
  if (ratio <= 0) return false;
  const mixed =
    bytes.readInt32BE(at) ^ bytes.readInt32BE(at + 4) ^ bytes.readInt32BE(at + 8) ^ bytes.readInt32BE(at + 12);
  return mixed >>> 0 < Math.floor(ratio * RANGE);
}
