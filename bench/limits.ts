/** The same consumer without a limit and with one that lets all through: what it costs to ask. */
import { daemonWorkload, DURABLE, type Workload } from './daemon.ts';
import { STREAM, SUBJECTS } from './events.ts';

const consumer = (settings: string): Workload =>
  daemonWorkload({
    config: (url, address) => `version: 1
nats: { servers: "${url}" }
http: { listen: "${address}" }
streams:
  ${STREAM}: { subjects: ["${SUBJECTS}"], strip: "events." }
consumers:
  ${DURABLE}: { stream: ${STREAM}, start: all, pipeline: [{ filter: event.data.total >= 0 }]${settings} }
`,
  });

const RATE = 'limit: 1000000, per: 1s';

/** By name; `unlimited` is what the others are compared with. */
export const LIMITS: readonly (readonly [string, Workload])[] = [
  ['unlimited', consumer('')],
  ['throttle', consumer(`, throttle: { ${RATE} }`)],
  ['throttle-instance', consumer(`, throttle: { ${RATE}, scope: instance }`)],
  ['rate_limit', consumer(`, rate_limit: { ${RATE} }`)],
  ['rate_limit-instance', consumer(`, rate_limit: { ${RATE}, scope: instance }`)],
  ['rate_limit-keys', consumer(`, rate_limit: { ${RATE}, by: event.data.customer }`)],
];
