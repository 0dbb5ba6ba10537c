import type { Daemon } from './daemon.ts';
import { waitFor } from './wait.ts';

/** What `/readyz` answers now. */
export async function readyz(daemon: Daemon): Promise<{ code: number; body: string }> {
  const response = await fetch(`${daemon.http}/readyz`);
  return { code: response.status, body: await response.text() };
}

/** Waits until `/readyz` answers with this code, and where a pattern is given with a body like it. */
export async function untilReady(daemon: Daemon, code: number, body = /(?:)/, timeout = 30_000): Promise<string> {
  let last = { code: 0, body: '' };
  const what = (): string =>
    `/readyz to answer ${code} ${String(body)}; it said ${last.code} ${last.body}. Its log:\n${daemon.log().slice(-3000)}`;
  const found = await waitFor(
    async () => {
      last = await readyz(daemon);
      return last.code === code && body.test(last.body) && last;
    },
    { timeout, what },
  );
  return found.body;
}
