/** What the commands for replays have in common. */
import { hostname } from 'node:os';
import { Acts } from '../../audit/acts.ts';
import { createBodies } from '../../nats/bodies.ts';
import { JetStreamPublisher } from '../../nats/publish.ts';
import { Wire } from '../../nats/wire.ts';
import { ensureStream } from '../../nats/provision.ts';
import { auditSpec } from '../../reconcile/system-streams.ts';
import type { ReplayAccess } from '../../replay/asked.ts';
import { createLogger } from '../../telemetry/log.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { withFleet } from '../session.ts';
import { thisUser } from '../user.ts';

/** Records what a command did, in the audit. */
export type Recorder = (what: string, name: string, after?: unknown) => Promise<void>;

/** Lets `work` work on replays. @throws what `withFleet` and `work` throw */
export async function withReplays<T>(
  file: string | undefined,
  work: (access: ReplayAccess, record: Recorder) => Promise<T>,
): Promise<T> {
  return withFleet(file, async ({ connection, client, manager, loaded }) => {
    const { config } = loaded;
    const publisher = new JetStreamPublisher(connection, new Wire(connection));
    const acts = new Acts({
      instance: hostname(),
      redact: (text) => loaded.redact(text),
      metrics: createMetrics(),
      // What it does is printed; what it could not keep of it is an error.
      logger: createLogger({ level: 'error', format: 'auto' }, (line) => loaded.redact(line), process.stderr),
    });
    const record: Recorder = async (what, name, after) => {
      await acts.connect(publisher, async () => void (await ensureStream(manager, auditSpec(config))));
      await acts.record({
        who: thisUser(),
        from: 'command line',
        what,
        resource: `replays/${name}`,
        after,
        outcome: 'done',
        status: 200,
      });
    };
    try {
      const bodies = createBodies(client, config.nats.system.replicas);
      return await work({ config, client, manager, publisher, bodies }, record);
    } finally {
      publisher.close();
    }
  });
}
