/** Bodies that are too large to travel with further headers: kept in an object store bucket, named in the message. */
import type { JetStreamClient } from '@nats-io/jetstream';
import { Objm, type ObjectStore } from '@nats-io/obj';

const BODIES_BUCKET = 'OUZEL_BODIES';

export interface Bodies {
  /** Stores a body for good and answers with its name. */
  put(name: string, body: Uint8Array): Promise<string>;
  /** The body of that name, or undefined when it is gone. */
  get(name: string): Promise<Uint8Array | undefined>;
  /** Takes a body away; one that is not there is gone already. */
  delete(name: string): Promise<void>;
}

/** Milliseconds that a body is kept: as long as the letter that names it. */
export const KEPT = 30 * 86_400_000;

/**
 * @param replicas Of the bucket, where it has to be made.
 */
export function createBodies(client: JetStreamClient, replicas: number): Bodies {
  let bucket: Promise<ObjectStore> | undefined;
  const open = (): Promise<ObjectStore> => {
    const opening = (bucket ??= new Objm(client).create(BODIES_BUCKET, { replicas, ttl: KEPT * 1_000_000 }));
    // A bucket that could not be opened is tried again by the next one who asks.
    opening.catch(() => (bucket = undefined));
    return opening;
  };
  return {
    put: async (name, body) => {
      await (await open()).putBlob({ name }, body);
      return name;
    },
    get: async (name) => (await (await open()).getBlob(name)) ?? undefined,
    delete: async (name) => {
      await (await open()).delete(name);
    },
  };
}
