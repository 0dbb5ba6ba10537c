/** A real mail server that keeps what it is given: with TLS from the start, after STARTTLS or not at all. */
import type { AddressInfo } from 'node:net';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { releasing } from './resources.ts';
import { waitFor } from './wait.ts';

export interface Mail {
  readonly from: string;
  readonly to: readonly string[];
  /** Whether it came over TLS, and who had logged in. */
  readonly secure: boolean;
  readonly user: string | undefined;
  /** Headers and body, as they came. */
  readonly source: string;
  /** Unfolded, by name in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface SmtpSinkOptions extends Pick<SMTPServerOptions, 'secure' | 'key' | 'cert' | 'hideSTARTTLS'> {
  readonly user?: string;
  readonly password?: string;
}

export interface SmtpSink extends AsyncDisposable {
  readonly port: number;
  readonly mails: readonly Mail[];
  /** What the next mails are answered, in order: undefined takes one. Then all are taken. */
  readonly answers: ({ readonly at: 'rcpt' | 'data'; readonly code: number; readonly text: string } | undefined)[];
  untilMails(count: number): Promise<readonly Mail[]>;
}

/** Starts a mail server on the loopback address. It ends with the test, or with `await using`. */
export async function startSmtpSink(options: SmtpSinkOptions = {}): Promise<SmtpSink> {
  const { user, password, ...listener } = options;
  const mails: Mail[] = [];
  const answers: SmtpSink['answers'] = [];
  const refusal = (at: 'rcpt' | 'data'): Error | undefined => {
    if (answers[0]?.at !== at) return undefined;
    const { code, text } = answers.shift() ?? { code: 0, text: '' };
    return Object.assign(new Error(text), { responseCode: code });
  };
  const server = new SMTPServer({
    logger: false,
    authOptional: user === undefined,
    disabledCommands: user === undefined ? ['AUTH'] : [],
    ...listener,
    onAuth: (given, _session, callback) =>
      given.username === user && given.password === password
        ? callback(null, { user: given.username ?? '' })
        : callback(Object.assign(new Error('no such user'), { responseCode: 535 })),
    onRcptTo: (_address, _session, callback) => callback(refusal('rcpt') ?? null),
    onData: (stream, session, callback) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const refused = refusal('data');
        if (refused !== undefined) return callback(refused);
        if (answers.length > 0) answers.shift();
        const source = Buffer.concat(chunks).toString();
        const { mailFrom, rcptTo } = session.envelope;
        mails.push({
          from: mailFrom === false ? '' : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          secure: session.secure,
          user: typeof session.user === 'string' ? session.user : undefined,
          source,
          headers: headersOf(source),
        });
        callback(null);
      });
    },
  });
  server.on('error', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.server.address() as AddressInfo;
  const close = releasing(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return {
    port,
    mails,
    answers,
    untilMails: async (count) => {
      await waitFor(() => mails.length >= count, {
        timeout: 45_000,
        what: () => `${count} mails; ${mails.length} came`,
      });
      return mails;
    },
    [Symbol.asyncDispose]: close,
  };
}

function headersOf(source: string): Record<string, string> {
  const [head = ''] = source.split('\r\n\r\n', 1);
  const lines = head.replaceAll(/\r\n[ \t]+/g, ' ').split('\r\n');
  return Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
}
