/** Every event of the stream as a webhook, signed, to a local server. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { daemonWorkload, DURABLE, kill, path, type Workload } from './daemon.ts';
import { STREAM, SUBJECTS } from './events.ts';

const SECRET = `whsec_${Buffer.alloc(32, 'bench').toString('base64')}`;

const config = (url: string, address: string, port: number): string => `version: 1
nats: { servers: "${url}" }
http: { listen: "${address}" }
streams:
  ${STREAM}: { subjects: ["${SUBJECTS}"], strip: "events." }
targets:
  partner: { webhook: { url: "http://127.0.0.1:${port}/in", allow_private: true, sign: { standard: { secrets: ["${SECRET}"] } } } }
consumers:
  ${DURABLE}: { stream: ${STREAM}, start: all, prefetch: 300, deliver: [{ to: partner }] }
`;

const said = async (server: ChildProcess): Promise<number> => {
  const [message] = (await once(server, 'message')) as [number];
  return message;
};

export const webhook: Workload = async (bench) => {
  const server = fork(path('webhook-server.ts'), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  try {
    const port = await said(server);
    return await daemonWorkload({
      config: (url, address) => config(url, address, port),
      async check({ events }) {
        server.send('count');
        const answered = await said(server);
        if (answered !== events) throw new Error(`${answered} requests came, not ${events}`);
        return {};
      },
    })(bench);
  } finally {
    await kill(server);
  }
};
