/** What a Prometheus was told: it asks here, and each answer of the daemon is kept as it was. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Daemon } from './daemon.ts';
import { Metrics, type Sample } from './metrics.ts';
import { releasing } from './resources.ts';

interface Scrape {
  /** When it was asked for, in milliseconds since the epoch. */
  readonly at: number;
  readonly text: string;
}

export interface Scrapes extends AsyncDisposable {
  /** `address:port`, for Prometheus, which calls the instance so. */
  readonly address: string;
  readonly latest: readonly Scrape[];
}

/** Scrapes that are kept. */
const KEPT = 10;
/** Milliseconds within which Prometheus may have put a scrape on either side of an instant. */
const CLOSE = 150;

/** Stands between Prometheus and a daemon. It ends with the test, or with `await using`. */
export async function startScrapes(daemon: Pick<Daemon, 'http'>): Promise<Scrapes> {
  const latest: Scrape[] = [];
  const server = createServer((_request, response) => {
    const at = Date.now();
    fetch(`${daemon.http}/metrics`)
      .then(async (answer) => {
        const text = await answer.text();
        latest.push({ at, text });
        if (latest.length > KEPT) latest.shift();
        response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' }).end(text);
      })
      .catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    latest,
    [Symbol.asyncDispose]: releasing(async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    }),
  };
}

/**
 * An instant of the last seconds, in milliseconds since the epoch, for which there is no doubt which scrapes were the
 * last before it; and what these said, with the labels that Prometheus gives. Undefined when there is none now.
 */
export function toldAt(all: readonly Scrapes[]): { readonly time: number; readonly samples: Sample[] } | undefined {
  const now = Date.now();
  for (let time = now - 1_000; time > now - 3_000; time -= 50) {
    const scrapes = all.flatMap(({ latest }) => latest);
    if (scrapes.some(({ at }) => Math.abs(at - time) < CLOSE)) continue;
    const last = all.map(({ address, latest }) => ({ address, scrape: latest.findLast(({ at }) => at < time) }));
    if (last.some(({ scrape }) => scrape === undefined)) return undefined;
    const samples = last.flatMap(({ address: instance, scrape }) =>
      new Metrics(scrape?.text ?? '').samples.map((sample) => ({
        ...sample,
        labels: { ...sample.labels, instance, job: 'ouzel' },
      })),
    );
    return { time, samples };
  }
  return undefined;
}
