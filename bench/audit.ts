/** What the record of each outcome costs: the same load without it, with nothing that waits for it, and waited for. */
import { daemonWorkload, DURABLE, sum, type Workload } from './daemon.ts';
import { countBig, STREAM, SUBJECTS } from './events.ts';
import { checkDelivered, OUT_STREAM, OUT_SUBJECT } from './out.ts';

type Mode = 'off' | 'best_effort' | 'required';

const config = (url: string, address: string, mode: Mode, deliver: boolean): string => `version: 1
nats: { servers: "${url}" }
http: { listen: "${address}" }
streams:
  ${STREAM}: { subjects: ["${SUBJECTS}"], strip: "events.", key: event.data.id }
${deliver ? `  ${OUT_STREAM}: { subjects: ["${OUT_SUBJECT}"] }\n` : ''}filters:
  not-test: '!event.source.startsWith("test/")'
  big: event.data.total > 1000
transformers:
  with-vat: { set: { data.vat: event.data.total * 0.2 } }
consumers:
  ${DURABLE}: { stream: ${STREAM}, start: all, pipeline: [not-test, big, with-vat]${deliver ? `, deliver: [{ to: { publish: { subject: "${OUT_SUBJECT}" } } }]` : ''} }
audit: { mode: ${mode} }
`;

/** The durable is new in each round, and so is the trail. */
export const audit = (mode: Mode, deliver = false): Workload =>
  daemonWorkload({
    config: (url, address) => config(url, address, mode, deliver),
    async check({ jsm, events }, http) {
      if (deliver) await checkDelivered(jsm, countBig(events));
      const dropped = sum(await (await fetch(`${http}/metrics`)).text(), 'ouzel_audit_dropped_total');
      if (dropped > 0) throw new Error(`${dropped} records were dropped`);
      return {};
    },
    async end({ jsm }) {
      for (const stream of ['OUZEL_OUTCOMES', 'KV_OUZEL_AUDIT', OUT_STREAM])
        await jsm.streams.delete(stream).catch(() => false);
    },
  });
