/**
 * What the server refuses this user on the connection. A refusal is a word on the connection and no answer: it is said
 * once for each kind of subject and not once for each message, and it holds until the server says that it is over.
 */
import type { NatsConnection, PermissionViolationError } from '@nats-io/transport-node';
import { allowed, permissionsOf } from './permissions.ts';

/** Milliseconds between questions whether what was refused is allowed again. */
const AGAIN = 2_000;
/** Milliseconds after which a refusal is forgotten that was not repeated, where the server cannot be asked. */
const FORGOTTEN = 30_000;
/** Subjects that are told apart, at most. */
const MAX_SUBJECTS = 20;

/** Without these nothing can be taken, settled or heard of. */
const ESSENTIAL = /^(?:\$JS\.|_INBOX\.)/;

interface Denial {
  readonly operation: PermissionViolationError['operation'];
  readonly subject: string;
  lastAt: number;
}

export class Denials {
  readonly #connection: NatsConnection;
  readonly #say: (message: string) => void;
  readonly #denials = new Map<string, Denial>();
  #timer: NodeJS.Timeout | undefined;
  #asking = false;

  /** @param say Hears of each refusal once, and of its end. */
  constructor(connection: NatsConnection, say: (message: string) => void) {
    this.#connection = connection;
    this.#say = say;
  }

  /** Why the daemon as a whole cannot work: a subject refused to it that all consumers need. */
  get reasons(): string[] {
    return [...this.#denials.values()].filter(({ subject }) => ESSENTIAL.test(subject)).map(describe);
  }

  /** The server refused something. */
  heard({ operation, subject: refused }: PermissionViolationError): void {
    const subject = patternOf(refused);
    const key = `${operation} ${subject}`;
    const known = this.#denials.get(key);
    if (known !== undefined) return void (known.lastAt = performance.now());
    if (this.#denials.size >= MAX_SUBJECTS) return;
    const denial = { operation, subject, lastAt: performance.now() };
    this.#denials.set(key, denial);
    const more = this.#denials.size === MAX_SUBJECTS ? '; further subjects are not named' : '';
    this.#say(`${describe(denial)}${more}`);
    this.#timer ??= setInterval(() => {
      this.#ask().catch(() => undefined);
    }, AGAIN).unref();
  }

  /** Another connection, perhaps another user: what holds now is heard anew. */
  clear(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#denials.clear();
  }

  async #ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    const known = await permissionsOf(this.#connection);
    this.#asking = false;
    const now = performance.now();
    for (const [key, denial] of this.#denials) {
      const { operation, subject, lastAt } = denial;
      const permissions = operation === 'publish' ? known?.publish : known?.subscribe;
      const over = known === undefined ? now - lastAt > FORGOTTEN : allowed(permissions ?? {}, subject);
      // What the server repeated while it was asked is not over.
      if (!over || now - lastAt < AGAIN) continue;
      this.#denials.delete(key);
      this.#say(`${describe(denial)}: no longer`);
    }
    if (this.#denials.size === 0) this.clear();
  }
}

const describe = ({ operation, subject }: Denial): string =>
  `the NATS user may not ${operation === 'publish' ? 'publish' : 'subscribe'} to ${subject}`;

/** Acks and inboxes have a subject for each message: what they have in common stands for them. */
function patternOf(subject: string): string {
  const tokens = subject.split('.');
  if (tokens[0] === '$JS' && tokens[1] === 'ACK') {
    // $JS.ACK.<stream>.<consumer>.… or, with a domain, $JS.ACK.<domain>.<account>.<stream>.<consumer>.…
    const kept = tokens.length >= 11 ? 6 : 4;
    return `${tokens.slice(0, kept).join('.')}.>`;
  }
  return tokens[0] === '_INBOX' ? '_INBOX.>' : subject;
}
