import { randomBytes } from 'node:crypto';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { SamplingDecision, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace';
import { describe, expect, it } from 'vitest';
import { isSampled, samplerFrom } from '../../../src/telemetry/sampling.ts';
import { IdPool, spanIdOf, traceIdOf } from '../../../src/telemetry/trace-context.ts';

describe('a ratio', () => {
  it.each([0, 0.001, 0.1, 0.5, 0.9, 1])("of %d takes the traces that OpenTelemetry's sampler takes", (ratio) => {
    const theirs = new TraceIdRatioBasedSampler(ratio);
    for (let round = 0; round < 2000; round++) {
      const ids = { bytes: randomBytes(24), at: 0 };
      const decision = theirs.shouldSample(ROOT_CONTEXT, traceIdOf(ids)).decision;
      expect(isSampled(ratio, ids)).toBe(decision === SamplingDecision.RECORD_AND_SAMPLED);
    }
  });
});

describe('the environment', () => {
  const from = (name?: string, argument?: string) => {
    const warnings: string[] = [];
    const env = { OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: argument };
    const { parentBased, ratio } = samplerFrom(env, 0.25, (message) => warnings.push(message));
    return [parentBased, ratio, warnings.length];
  };

  it.each([
    [undefined, undefined, [true, 0.25, 0]],
    ['always_on', undefined, [false, 1, 0]],
    ['always_off', undefined, [false, 0, 0]],
    ['traceidratio', '0.1', [false, 0.1, 0]],
    ['parentbased_always_on', undefined, [true, 1, 0]],
    ['parentbased_always_off', undefined, [true, 0, 0]],
    ['parentbased_traceidratio', '0.5', [true, 0.5, 0]],
    ['parentbased_traceidratio', undefined, [true, 1, 0]],
    ['parentbased_traceidratio', '2', [true, 1, 1]],
    ['parentbased_jaeger_remote', undefined, [true, 0.25, 1]],
  ])('%s with %s decides', (name, argument, expected) => {
    expect(from(name, argument)).toEqual(expected);
  });
});

describe('ids', () => {
  it('are all different, over the end of what was drawn at once', () => {
    const pool = new IdPool();
    const seen = new Set<string>();
    for (let round = 0; round < 1000; round++) {
      pool.next();
      const { bytes, at } = pool;
      seen.add(traceIdOf({ bytes, at })).add(spanIdOf({ bytes, at }));
    }
    expect(seen.size).toBe(2000);
    expect([...seen].every((id) => /^(?:[0-9a-f]{16}|[0-9a-f]{32})$/.test(id) && !/^0+$/.test(id))).toBe(true);
  });
});
