/** Traces, where an endpoint is configured; only then is anything of OpenTelemetry loaded. */
import { asOuzelError } from '../errors.ts';
import type { Traces, TracesOptions } from './traces.ts';

/** Starts traces. What keeps them from starting is said, and events are handled without. */
export async function startTracesWhere(
  { endpoint, sample }: Pick<TracesOptions, 'endpoint' | 'sample'>,
  options: Omit<TracesOptions, 'endpoint' | 'sample' | 'env'>,
): Promise<Traces | undefined> {
  if (endpoint === '') return undefined;
  try {
    const { startTraces } = await import('./traces.ts');
    return await startTraces({ ...options, endpoint, sample, env: process.env });
  } catch (error) {
    options.logger.error(
      { error: asOuzelError(error).message },
      'traces cannot be turned on; events are handled without',
    );
    return undefined;
  }
}
