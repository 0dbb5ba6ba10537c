/** What the commands for replays have in common. */
import { Acts } from '../../audit/acts.ts';
import { Anchor } from '../../audit/anchor.ts';
import { Trail } from '../../audit/trail.ts';
import { createBodies } from '../../nats/bodies.ts';
import { JetStreamPublisher } from '../../nats/publish.ts';
import { Wire } from '../../nats/wire.ts';
import { ensureStream } from '../../nats/provision.ts';
import { auditSpec, trailSpecs } from '../../reconcile/system-streams.ts';
import type { ReplayAccess } from '../../replay/asked.ts';
import { createLogger } from '../../telemetry/log.ts';
import { newInstance } from '../../telemetry/incidents/message.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { withFleet } from '../session.ts';
import { thisUser } from '../user.ts';

/** Milliseconds to anchor what was recorded, at most. */
const CLOSING = 5_000;

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
    const instance = newInstance();
    const redact = (text: string): string => loaded.redact(text);
    const metrics = createMetrics();
    // What it does is printed; what it could not keep of it is an error.
    const logger = createLogger({ level: 'error', format: 'auto' }, redact, process.stderr);
    const trail = new Trail(config.audit.mode, { instance, keyOf: () => undefined, redact, metrics, logger });
    const chain = () => (trail.mode === 'off' ? undefined : trail);
    const acts = new Acts({ instance, redact, metrics, logger, chain });
    let isConnected = false;
    const connect = async (): Promise<void> => {
      if (isConnected) return;
      isConnected = true;
      await acts.connect(publisher, async () => void (await ensureStream(manager, auditSpec(config))));
      await trail.connect(publisher, new Anchor(instance, publisher, manager, logger), async () => {
        for (const spec of trailSpecs(config)) await ensureStream(manager, spec);
      });
    };
    const record: Recorder = async (what, name, after) => {
      await connect();
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
      if (isConnected) await trail.close(new Promise((resolve) => setTimeout(resolve, CLOSING).unref()));
      publisher.close();
    }
  });
}
