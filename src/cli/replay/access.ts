/** What the commands for replays have in common. */
import { createBodies } from '../../nats/bodies.ts';
import { JetStreamPublisher } from '../../nats/publish.ts';
import { Wire } from '../../nats/wire.ts';
import type { ReplayAccess } from '../../replay/asked.ts';
import { Recorder } from '../recorder.ts';
import { withFleet } from '../session.ts';

/** Records what a command did, in the audit. */
export type RecordReplay = (what: string, name: string, after?: unknown) => Promise<void>;

/** Lets `work` work on replays. @throws what `withFleet` and `work` throw */
export async function withReplays<T>(
  file: string | undefined,
  work: (access: ReplayAccess, record: RecordReplay) => Promise<T>,
): Promise<T> {
  return withFleet(file, async (session) => {
    const { connection, client, manager, loaded } = session;
    const { config } = loaded;
    const publisher = new JetStreamPublisher(connection, new Wire(connection));
    const recorder = new Recorder(session, publisher);
    const record: RecordReplay = (what, name, after) => recorder.record(what, `replays/${name}`, after);
    try {
      const bodies = createBodies(client, config.nats.system.replicas);
      return await work({ config, client, manager, publisher, bodies }, record);
    } finally {
      await recorder.close();
      publisher.close();
    }
  });
}
