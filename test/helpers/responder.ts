import type { Msg } from '@nats-io/transport-node';
import type { Client } from './publish.ts';
import { waitFor } from './wait.ts';

/** A subscriber that answers publishes in a stream's place, when the test lets it. */
export interface Responder {
  /** Publishes that wait for their answer, the oldest first. */
  readonly open: Msg[];
  /** How many came so far. */
  readonly received: number;
  /** The most that ever waited at once. */
  readonly most: number;
  /** Answers the oldest one as a stream would. */
  release(): void;
  /** From now on, and for what waits already. */
  releaseAll(): void;
  /** Waits until at least that many wait. */
  untilOpen(count: number): Promise<void>;
}

const PUB_ACK = '{"stream":"X","seq":1}';

/** Listens on a subject that no stream takes. */
export async function respondOn(client: Client, subject: string): Promise<Responder> {
  const open: Msg[] = [];
  let received = 0;
  let most = 0;
  let free = false;
  client.nc.subscribe(subject, {
    callback: (error, message) => {
      if (error !== null) return;
      received++;
      if (free) return void message.respond(PUB_ACK);
      open.push(message);
      most = Math.max(most, open.length);
    },
  });
  await client.nc.flush();
  return {
    open,
    get received() {
      return received;
    },
    get most() {
      return most;
    },
    release: () => void open.shift()?.respond(PUB_ACK),
    releaseAll: () => {
      free = true;
      for (const message of open.splice(0)) message.respond(PUB_ACK);
    },
    untilOpen: async (count) => {
      await waitFor(() => open.length >= count, { what: () => `${count} publishes to wait; ${open.length} do` });
    },
  };
}
