/** Mail through a real daemon, to real mail servers: TLS, logging in, refusals, and silence. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { callApi } from '../helpers/api.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publish, readStream } from '../helpers/publish.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { startServer } from '../helpers/server.ts';
import { startSmtpSink } from '../helpers/smtp-sink.ts';

const HEAD = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json, level: debug } }
defaults: { retry: { attempts: 2, backoff: { first: 50ms, max: 2s, jitter: 0 } } }
`;

async function certificate(): Promise<{ readonly key: string; readonly cert: string; readonly certFile: string }> {
  const folder = await temporaryDirectory('mail');
  const [keyFile, certFile] = [join(folder, 'mail.key'), join(folder, 'mail.pem')];
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '2'];
  await promisify(execFile)('openssl', ['req', '-x509', ...ec, '-keyout', keyFile, '-out', certFile, ...subject]);
  return { key: await readFile(keyFile, 'utf8'), cert: await readFile(certFile, 'utf8'), certFile };
}

test('mail goes over TLS, logged in, and says no more than it should', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const { key, cert, certFile } = await certificate();
  const account = { user: 'ouzel', password: 's3cret-part' };
  const sink = await startSmtpSink({ key, cert, ...account });
  const implicit = await startSmtpSink({ key, cert, secure: true, ...account });
  const plain = await startSmtpSink({ hideSTARTTLS: true });
  const common = `ca: '\${file:${certFile}}', from: 'Ouzel <ouzel@example.com>', to: [ops@example.com, 'Ada <ada@example.com>']`;
  const mail = (options: string): string =>
    `{ notify: { email: { ${options}, ${common} }, title: 'about {{ event.data.who }}', message: '{{ event.data.text }}', allow_private: true } }`;
  const daemon = await startDaemon(
    `${HEAD}targets:
  starttls: ${mail(`url: 'smtp://ouzel:s3cret-part@localhost:${sink.port}'`)}
  implicit: ${mail(`host: localhost, port: ${implicit.port}, tls: implicit, user: ouzel, password: s3cret-part`)}
  wrong: ${mail(`host: localhost, port: ${sink.port}, user: ouzel, password: s3cret-wrong`)}
  plain: ${mail(`host: localhost, port: ${plain.port}`)}
  open: ${mail(`host: localhost, port: ${plain.port}, tls: off`)}
consumers:
  a: { stream: IN, subjects: [in.a], start: all, deliver: [{ to: starttls }, { to: implicit }] }
  b: { stream: IN, subjects: [in.b], start: all, deliver: [{ to: starttls }] }
  wrong: { stream: IN, subjects: [in.wrong], start: all, deliver: [{ to: wrong }] }
  plain: { stream: IN, subjects: [in.plain], start: all, retry: { for: 1s }, deliver: [{ to: plain }] }
  open: { stream: IN, subjects: [in.open], start: all, deliver: [{ to: open }] }
`,
    { server },
  );
  await publish(client, { subject: 'in.a', body: { who: 'ä\r\nBcc: all@example.com', text: 'one\n.\ntwo' } });
  await untilEnded(daemon, 'a', 1);
  for (const [{ mails }] of [[sink], [implicit]] as const) {
    expect(mails.length).toBe(1);
    const [first] = mails;
    expect(first).toMatchObject({
      from: 'ouzel@example.com',
      to: ['ops@example.com', 'ada@example.com'],
      secure: true,
      user: 'ouzel',
    });
    expect(first?.headers).not.toHaveProperty('bcc');
    expect(first?.headers).toMatchObject({ 'auto-submitted': 'auto-generated', from: 'Ouzel <ouzel@example.com>' });
    expect(first?.headers['message-id']).toMatch(/^<[\w.-]+@ouzel>$/);
    expect(first?.source).toContain('one\r\n.\r\ntwo');
  }

  // 4yz is "not now", 5yz a no for good.
  const body = { who: 'b', text: 'x' };
  sink.answers.push({ at: 'data', code: 451, text: 'try again' }, undefined);
  await publish(client, { subject: 'in.b', body });
  await untilEnded(daemon, 'b', 1);
  sink.answers.push({ at: 'rcpt', code: 550, text: 'no such user' }, { at: 'rcpt', code: 550, text: 'no such user' });
  await publish(client, { subject: 'in.b', body });
  await untilEnded(daemon, 'b', 2);
  expect(sink.mails.length).toBe(2);
  expect(await daemon.total('ouzel_deliveries_total', { consumer: 'b', result: 'unavailable' })).toBe(1);

  await publish(client, { subject: 'in.wrong', body });
  await publish(client, { subject: 'in.plain', body });
  await publish(client, { subject: 'in.open', body });
  await untilEnded(daemon, 'wrong', 1);
  await untilEnded(daemon, 'plain', 1, 30_000);
  await untilEnded(daemon, 'open', 1);
  expect(plain.mails.map(({ secure }) => secure)).toEqual([false]);
  const letters = await readStream(client, 'OUZEL_DLQ');
  expect(
    letters.map(
      ({ headers }) => `${headers['Ouzel-Consumer']} ${headers['Ouzel-Attempts']} ${headers['Ouzel-Reason']}`,
    ),
  ).toEqual(['b 1 rejected', 'wrong 2 rejected', 'plain 1 unavailable_too_long']);
  for (const text of [daemon.log(), JSON.stringify(letters), (await callApi(daemon, 'GET', '/config')).text])
    expect(text).not.toContain('s3cret');
});

test('a mail server that says nothing is given up on in time, and a private one is not asked', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const silent = await startHttpTarget(() => ({ fault: 'hang' }));
  const daemon = await startDaemon(
    `${HEAD}targets:
  silent: { notify: { email: { host: 127.0.0.1, port: ${silent.port}, from: a@b.example, to: c@d.example }, message: x, timeout: 300ms, allow_private: true } }
  private: { notify: { email: { host: localhost, port: ${silent.port}, from: a@b.example, to: c@d.example }, message: x } }
consumers:
  silent: { stream: IN, start: all, retry: { for: 500ms }, deliver: [{ to: silent }] }
  private: { stream: IN, start: all, retry: { for: 500ms }, deliver: [{ to: private }] }
`,
    { server },
  );
  await publish(client, { subject: 'in.a', body: {} });
  await untilEnded(daemon, 'silent', 1);
  await untilEnded(daemon, 'private', 1);
  const errors = (await readStream(client, 'OUZEL_DLQ')).map(({ headers }) => [
    headers['Ouzel-Consumer'],
    headers['Ouzel-Error'],
  ]);
  expect(Object.fromEntries(errors)).toEqual({
    silent: expect.stringContaining(`mail by 127.0.0.1:${silent.port}: not taken within 300 ms`) as unknown,
    private: expect.stringContaining('TARGET_ADDRESS: localhost resolves to') as unknown,
  });
});
