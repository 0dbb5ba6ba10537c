/**
 * What Ouzel is measured against: the plain nats.js client with `consume({ callback })`, which acks each message and does
 * nothing else with it. A process of its own, forked by `run.ts`, that answers how many it has settled.
 */
import { jetstream } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';

const [url, stream, durable] = process.argv.slice(2);
if (url === undefined || stream === undefined || durable === undefined) throw new Error('raw.ts URL STREAM DURABLE');

let settled = 0;
process.on('message', () => process.send?.({ settled }));
process.once('disconnect', () => process.exit(0));

const nc = await connect({ servers: url });
const consumer = await jetstream(nc).consumers.get(stream, durable);
await consumer.consume({
  max_messages: 2_000,
  callback: (message) => {
    message.ack();
    settled++;
  },
});
process.send?.({ settled });
