/** Requests to the ingress listener, as those who send webhooks make them. */
import { createHmac } from 'node:crypto';
import { connect, type Socket } from 'node:net';

export interface Sent {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

/** Sends requests to a base URL; a body is JSON unless the headers say otherwise. */
export const sendingTo =
  (url: string) =>
  async (path: string, { method = 'POST', headers = {}, body }: Sent = {}): Promise<Answered> => {
    const response = await fetch(url + path, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body }),
    });
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as Record<string, unknown>,
    };
  };

const hmac = (secret: string, ...parts: readonly string[]): string =>
  parts.reduce((made, part) => made.update(part), createHmac('sha256', secret)).digest('hex');

/** The headers that GitHub sends with a body. */
export const githubHeaders = (secret: string, body: string, delivery: string): Record<string, string> => ({
  'x-github-event': 'push',
  'x-github-delivery': delivery,
  'x-hub-signature-256': `sha256=${hmac(secret, body)}`,
});

/** The same of Stripe, so many seconds ago. */
export function stripeHeaders(secret: string, body: string, ago = 0): Record<string, string> {
  const time = String(Math.floor(Date.now() / 1000) - ago);
  return { 'stripe-signature': `t=${time},v1=${hmac(secret, `${time}.`, body)}` };
}

/** The same of Slack, now. */
export function slackHeaders(secret: string, body: string): Record<string, string> {
  const time = String(Math.floor(Date.now() / 1000));
  return { 'x-slack-request-timestamp': time, 'x-slack-signature': `v0=${hmac(secret, `v0:${time}:`, body)}` };
}

/** A connection that sends what it is told, and keeps what comes back. */
export async function openSocket(url: string): Promise<{ readonly socket: Socket; readonly received: () => string }> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('connect', resolve));
  return { socket, received: () => text };
}
