/** Every event of the stream to a plugin that does nothing: one at a time, and in groups of 100. */
import { daemonWorkload, DURABLE, type Workload } from './daemon.ts';
import { STREAM, SUBJECTS } from './events.ts';

const PLUGIN = `import { defineTarget } from 'ouzel';
export const nothing = defineTarget({ batches: true, setup: () => () => undefined });
`;

const config = (url: string, address: string, group: string): string => `version: 1
nats: { servers: "${url}" }
http: { listen: "${address}" }
plugins: { dir: . }
streams:
  ${STREAM}: { subjects: ["${SUBJECTS}"], strip: "events." }
consumers:
  ${DURABLE}: { stream: ${STREAM}, start: all, ${group}deliver: [{ to: { plugin: nothing } }] }
`;

/** @param group Of the consumer, with a comma behind it; or empty. */
const nothing = (group: string): Workload =>
  daemonWorkload({ config: (url, address) => config(url, address, group), files: { 'nothing.ts': PLUGIN } });

export const single: Workload = nothing('');
export const grouped: Workload = nothing('group: { max: 100, within: 1s }, ');
