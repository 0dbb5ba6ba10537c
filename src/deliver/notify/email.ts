import { connect, type Socket } from 'node:net';
import type { createTransport as CreateTransport, Transporter } from 'nodemailer';
import { z } from 'zod';
import { type IssueDetails, template } from '../../config/fields.ts';
import { OuzelError } from '../../errors.ts';
import { specialHost } from '../http/addresses.ts';
import { addressRefused, lookupPublic } from '../http/client.ts';
import { Places } from './places.ts';
import { render } from '../outgoing.ts';
import { defineService, type Note, type PreparedService, type ServiceContext } from './service.ts';
import { bodyOf, cleanLine, cut, headlineOf } from './text.ts';

/** Mails that are on their way at a time. */
const CONNECTIONS = 4;
/** Characters. */
const LONGEST = 100_000;
const LONGEST_SUBJECT = 200;

const REMEDY = '`allow_private: true` in the target';

// oxlint-disable-next-line no-control-regex -- line breaks are what must not get into a header
const UNSAFE_ADDRESS = /[\u0000-\u001f\u007f]/;

const mailAddress = () =>
  z
    .string()
    .regex(/^[^@]*[^@\s]@[^@\s]+$/, 'not an address: ada@example.com, or "Ada <ada@example.com>"')
    .refine((value) => !UNSAFE_ADDRESS.test(value), { error: 'an address has no line breaks' });

const options = z
  .strictObject({
    url: z
      .string()
      .optional()
      .describe(
        'Mail server as `smtp://user:password@host:port`, or `smtps://` for TLS from the start. In place of `host`.',
      ),
    host: z.string().min(1).optional().describe('Mail server.'),
    port: z.number().int().min(1).max(65_535).optional().describe('Default: 587; 465 with `tls: implicit`.'),
    user: z.string().min(1).optional().describe('User, where the server wants one.'),
    password: z.string().min(1).optional().describe('Password.'),
    tls: z
      .enum(['starttls', 'implicit', 'optional', 'off'])
      .optional()
      .describe(
        'starttls (default): nothing is sent before STARTTLS; implicit: TLS from the start; optional: STARTTLS if it is offered; off: never.',
      ),
    ca: z
      .string()
      .min(1)
      .optional()
      .describe('Certificate authorities to trust in place of those of the system, as PEM: `${file:…}`.'),
    from: mailAddress().describe('Sender.'),
    to: z
      .union([mailAddress(), z.array(mailAddress()).min(1).max(50)])
      .describe('Recipients. Event data has no say in them.'),
    subject: template().optional().describe("Subject. Default: `title`, or the message's first line."),
  })
  .superRefine(({ url, host, user, password, tls }, context) => {
    const say = (path: string, message: string, code: IssueDetails['code'] = 'CONFIG_INVALID_VALUE'): void =>
      context.addIssue({ code: 'custom', path: [path], message, params: { code } });
    if ((url === undefined) === (host === undefined)) say('host', 'exactly one of `url` and `host` says where');
    if (url !== undefined && serverOf({ url }) === undefined)
      say('url', 'must be smtp://host or smtps://host, with user, password and port if need be');
    if (url !== undefined && user !== undefined) say('user', 'with `url`, the user stands in it');
    if ((user === undefined) !== (password === undefined))
      say('user', '`user` and `password` belong together', 'CONFIG_MISSING_KEY');
    if (tls === 'off' && (password ?? serverOf({ url })?.password) !== undefined)
      say('tls', 'a password would be sent for everybody to read; write `optional` at least');
  });

type Options = z.output<typeof options>;

interface Server {
  readonly host: string;
  readonly port: number;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly tls: NonNullable<Options['tls']>;
}

/** Where mail is handed over, from either way to say it; undefined for a URL that is none. */
function serverOf({
  url,
  ...given
}: Partial<Pick<Options, 'url' | 'host' | 'port' | 'user' | 'password' | 'tls'>>): Server | undefined {
  const defaultPort = (tls: Server['tls']): number => (tls === 'implicit' ? 465 : 587);
  if (url === undefined) {
    const tls = given.tls ?? (given.port === 465 ? 'implicit' : 'starttls');
    const { host = '', port = defaultPort(tls), user, password } = given;
    return { host, port, user, password, tls };
  }
  const parsed = /^smtps?:\/\//i.test(url) ? URL.parse(url) : null;
  if (parsed === null || parsed.hostname === '') return undefined;
  const tls = given.tls ?? (parsed.protocol === 'smtps:' ? 'implicit' : 'starttls');
  const text = (value: string): string | undefined => (value === '' ? undefined : decodeURIComponent(value));
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: parsed.port === '' ? (given.port ?? defaultPort(tls)) : Number(parsed.port),
    user: text(parsed.username),
    password: text(parsed.password),
    tls,
  };
}

/** The host that an e-mail target connects to. */
export const mailHostOf = (given: Partial<Options>): string | undefined => serverOf(given)?.host;

interface SmtpError {
  readonly message?: string;
  readonly code?: string;
  /** What the server said, as a number; undefined when it did not come to that. */
  readonly responseCode?: number;
}

/** 4yz and whatever keeps from talking at all is "not now"; 5yz is a no to this mail, or to the user. */
function failureOf(error: unknown, asked: string, secrets: readonly string[]): OuzelError {
  if (error instanceof OuzelError) return error;
  const { message = String(error), code, responseCode: status } = error as SmtpError;
  const said = secrets.reduce((text, secret) => text.replaceAll(secret, '***'), cut(cleanLine(message), 300));
  const refused = status !== undefined && status >= 500;
  if (!refused) return new OuzelError('TARGET_UNAVAILABLE', `${asked}: ${said}`);
  // The password may be put right; a mail that was refused stays the same.
  const forGood = code === 'EENVELOPE' || code === 'EMESSAGE';
  return new OuzelError(forGood ? 'TARGET_REJECTED_FOR_GOOD' : 'TARGET_REJECTED', `${asked}: ${said}`);
}

class Mailer implements PreparedService {
  readonly hostname: string;
  readonly #options: Options;
  readonly #context: ServiceContext;
  readonly #server: Server;
  readonly #subject: ReturnType<ServiceContext['bindTemplate']> | undefined;
  readonly #places = new Places(CONNECTIONS);

  constructor(given: Options, context: ServiceContext) {
    this.#options = given;
    this.#context = context;
    this.#server = serverOf(given) ?? { host: '', port: 0, user: undefined, password: undefined, tls: 'starttls' };
    this.hostname = this.#server.host;
    this.#subject = given.subject === undefined ? undefined : context.bindTemplate(given.subject);
  }

  readonly more: NonNullable<PreparedService['more']> = (run) => {
    const { subject } = this.#options;
    return this.#subject === undefined || subject === undefined
      ? {}
      : { subject: cleanLine(render(this.#subject, subject, run, this.#context)) };
  };

  preview(note: Note) {
    const { subject, text } = this.#textOf(note);
    const { from, to } = this.#options;
    const headers: [string, string][] = [
      ['from', from],
      ['to', [to].flat().join(', ')],
      ['subject', subject],
    ];
    return { action: `mail by ${this.#server.host}:${this.#server.port}`, headers, body: text };
  }

  async send(note: Note, signal: AbortSignal): Promise<void> {
    const { timeout, log } = this.#context;
    const { user, password } = this.#server;
    const asked = `mail by ${this.#server.host}:${this.#server.port}`;
    const { createTransport } = await import('nodemailer');
    await this.#places.take(signal);
    const abort = new AbortController();
    const timer = setTimeout(
      () => abort.abort(new OuzelError('TARGET_TIMEOUT', `${asked}: not taken within ${timeout} ms`)),
      timeout,
    );
    const ended = (): void => abort.abort(signal.reason);
    signal.addEventListener('abort', ended, { once: true });
    let socket: Socket | undefined;
    try {
      socket = await this.#connect(abort.signal);
      const { rejected } = await this.#mail(createTransport, socket, note, abort.signal);
      if (rejected.length > 0) log({ refused: rejected.length }, `${asked}: some recipients were refused`);
    } catch (error) {
      const secrets = [user, password].filter((each) => each !== undefined);
      throw failureOf(abort.signal.aborted ? abort.signal.reason : error, asked, secrets);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', ended);
      socket?.destroy();
      this.#places.give();
    }
  }

  close(): void {
    // A connection is closed with its mail.
  }

  #textOf(note: Note): { readonly subject: string; readonly text: string } {
    const more = note.tail === undefined ? '' : ` (${note.tail})`;
    const subject = note.more['subject'] ?? headlineOf(note);
    return { subject: cut(subject, LONGEST_SUBJECT) + more, text: bodyOf(note, LONGEST) };
  }

  /** A connection to an address that was checked. */
  #connect(signal: AbortSignal): Promise<Socket> {
    const { host, port } = this.#server;
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const special = this.#context.allowPrivate ? undefined : specialHost(host);
    if (special !== undefined) throw addressRefused(host, special, REMEDY);
    const socket = connect({ host, port, ...(this.#context.allowPrivate ? {} : { lookup: lookupPublic(REMEDY) }) });
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    socket.once('connect', () => resolve(socket)).once('error', reject);
    return promise.catch((error: unknown) => {
      socket.destroy();
      throw error;
    });
  }

  async #mail(
    createTransport: typeof CreateTransport,
    socket: Socket,
    note: Note,
    signal: AbortSignal,
  ): Promise<{ rejected: readonly unknown[] }> {
    const { from, to, ca } = this.#options;
    const { host, port, user, password, tls } = this.#server;
    const { timeout } = this.#context;
    const transport: Transporter<{ rejected: readonly unknown[] }> = createTransport({
      host,
      port,
      secure: tls === 'implicit',
      requireTLS: tls === 'starttls',
      ignoreTLS: tls === 'off',
      ...(user === undefined || password === undefined ? {} : { auth: { user, pass: password } }),
      // Without it, a server that does not offer to log in would get the mail unauthenticated.
      forceAuth: user !== undefined,
      tls: { minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) },
      greetingTimeout: timeout,
      socketTimeout: timeout,
      disableFileAccess: true,
      disableUrlAccess: true,
      getSocket: (_options: unknown, callback: (error: null, given: { connection: Socket }) => void) =>
        callback(null, { connection: socket }),
    });
    const { subject, text } = this.#textOf(note);
    return transport.sendMail({
      from,
      to,
      subject,
      text,
      messageId: `<${note.id}@ouzel>`,
      headers: { 'auto-submitted': 'auto-generated' },
      signal,
    });
  }
}

/** E-mail over SMTP. */
export const email = defineService({
  name: 'email',
  summary: 'E-mail over SMTP, as plain text.',
  example: '{ host: mail.example, user: ouzel, password: x, from: ouzel@example.com, to: [ops@example.com] }',
  options,
  prepare: (given, context) => new Mailer(given, context),
});
