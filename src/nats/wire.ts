/**
 * The one place that touches nats.js beneath its public interface: the bytes of a message as the parser left them, and
 * many small commands written to the socket at once. `test/integration/wire.test.ts` holds nats.js to what is used
 * here; where a piece is missing (another version), the public interface serves instead, only slower.
 */
import { headers as createHeaders, type Msg, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node';
import { headerEntries } from '../core/headers.ts';

interface Protocol {
  readonly connected: boolean;
  sendCommand(command: Uint8Array): void;
}

interface RawMessage {
  readonly _msg?: {
    readonly subject?: Uint8Array;
    readonly reply?: Uint8Array;
    /** Length of the header block, or -1. */
    readonly hdr?: number;
  };
  readonly _rdata?: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);
const DOT = 46;

/** The bytes of a message's reply subject; empty when it has none. */
export function replyBytes(message: Msg): Uint8Array {
  const raw = (message as RawMessage)._msg;
  if (raw !== undefined) return raw.reply ?? NO_BYTES;
  return message.reply === undefined ? NO_BYTES : Buffer.from(message.reply);
}

/** The subject of a message. */
export function subjectOf(message: Msg): string {
  const bytes = (message as RawMessage)._msg?.subject;
  // A tenth of what a TextDecoder takes for so few bytes.
  return bytes instanceof Buffer ? bytes.toString() : message.subject;
}

/** The bytes of a message's header block, or undefined when it has none. */
export function headerBytes(message: Msg): Uint8Array | undefined {
  const { _msg: raw, _rdata: data } = message as RawMessage;
  if (raw?.hdr !== undefined && data !== undefined) return raw.hdr > 0 ? data.subarray(0, raw.hdr) : undefined;
  const { headers } = message;
  if (headers === undefined) return undefined;
  const lines = [...headers].flatMap(([name, values]) => values.map((value) => `${name}: ${value}\r\n`));
  const status = headers.code === 0 ? '' : ` ${headers.code} ${headers.description}`;
  return Buffer.from(`NATS/1.0${status}\r\n${lines.join('')}\r\n`);
}

/** The number behind the last dot of a message's subject, as the inboxes of pulls and publishes end; -1 for none. */
export function subjectNumber(message: Msg): number {
  const bytes = (message as RawMessage)._msg?.subject ?? Buffer.from(message.subject);
  let index = bytes.length - 1;
  let number = 0;
  let scale = 1;
  for (; index >= 0; index--) {
    const digit = (bytes[index] as number) - 48;
    if (digit < 0 || digit > 9) break;
    number += digit * scale;
    scale *= 10;
  }
  return scale === 1 || bytes[index] !== DOT ? -1 : number;
}

const CHUNK = 64 * 1024;
/** What is left of a chunk below this is not used, so that commands are not cut into tiny writes. */
const REMNANT = 1024;
const ACK = Buffer.from(' 4\r\n+ACK\r\n');
const WORKING = Buffer.from(' 4\r\n+WPI\r\n');
const PUB = Buffer.from('PUB ');

const isProtocol = (value: unknown): value is Protocol =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as Protocol).sendCommand === 'function' &&
  typeof (value as Protocol).connected === 'boolean';

/**
 * Collects the commands of one turn of the event loop and hands them to the socket as one buffer. While disconnected
 * it holds them: nats.js drops what is written then, and an ack that arrives late still counts within `ack_wait`.
 */
export class Wire {
  readonly #connection: NatsConnection;
  readonly #protocol: Protocol | undefined;
  #chunk = Buffer.allocUnsafeSlow(CHUNK);
  #start = 0;
  #end = 0;
  #scheduled = false;
  #held: Buffer[] = [];

  constructor(connection: NatsConnection) {
    this.#connection = connection;
    const { protocol } = connection as { protocol?: unknown };
    this.#protocol = isProtocol(protocol) ? protocol : undefined;
  }

  /** Whether commands reach the server now. */
  get connected(): boolean {
    return this.#protocol === undefined ? !this.#connection.isClosed() : this.#protocol.connected;
  }

  ack(reply: Uint8Array): void {
    this.#answer(reply, ACK);
  }

  /** Not held while disconnected: it would be sent too late, and as often as it was said. @returns Whether it is sent. */
  working(reply: Uint8Array): boolean {
    const { connected } = this;
    if (connected) this.#answer(reply, WORKING);
    return connected;
  }

  /** @param delay Milliseconds until the server delivers again. */
  nak(reply: Uint8Array, delay: number): void {
    const body = delay > 0 ? `-NAK {"delay": ${Math.round(delay) * 1_000_000}}` : '-NAK';
    this.#answer(reply, Buffer.from(` ${body.length}\r\n${body}\r\n`));
  }

  /** A publish without headers, for requests to the server's own API. */
  request(subject: string, reply: string, body: string): void {
    const command = `PUB ${subject} ${reply} ${Buffer.byteLength(body)}\r\n${body}\r\n`;
    this.#reserve(Buffer.byteLength(command));
    this.#end += this.#chunk.write(command, this.#end);
  }

  /** A publish with headers. The header block and the body are written as they are. */
  publish(subject: string, reply: string, headers: string, body: Uint8Array | string): void {
    const headerLength = Buffer.byteLength(headers);
    const bodyLength = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    const command = `HPUB ${subject} ${reply}${reply === '' ? '' : ' '}${headerLength} ${headerLength + bodyLength}\r\n`;
    const commandLength = Buffer.byteLength(command);
    this.#reserve(commandLength + headerLength + bodyLength + 2);
    const chunk = this.#chunk;
    let end = this.#end;
    end += chunk.write(command, end);
    end += chunk.write(headers, end);
    if (typeof body === 'string') end += chunk.write(body, end);
    else {
      chunk.set(body, end);
      end += bodyLength;
    }
    chunk[end++] = 13;
    chunk[end++] = 10;
    this.#end = end;
  }

  readonly #flushLater = (): void => this.flush();

  /** Hands what was collected to the socket; called by itself at the end of each turn. */
  flush(): void {
    this.#scheduled = false;
    if (this.#end === this.#start) return;
    const commands = this.#chunk.subarray(this.#start, this.#end);
    this.#start = this.#end;
    if (this.connected) this.#send(commands);
    else this.#held.push(commands);
  }

  /** To be called after a reconnect: sends what was held. */
  resume(): void {
    const held = this.#held;
    this.#held = [];
    for (const commands of held) this.#send(commands);
  }

  #answer(reply: Uint8Array, tail: Buffer): void {
    this.#reserve(PUB.length + reply.length + tail.length);
    const chunk = this.#chunk;
    let end = this.#end;
    chunk.set(PUB, end);
    end += PUB.length;
    chunk.set(reply, end);
    end += reply.length;
    chunk.set(tail, end);
    this.#end = end + tail.length;
  }

  #reserve(length: number): void {
    if (this.#end + length > this.#chunk.length || this.#chunk.length - this.#end < REMNANT) {
      this.flush();
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK, length));
      this.#start = 0;
      this.#end = 0;
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#flushLater);
  }

  #send(commands: Buffer): void {
    if (this.#protocol !== undefined) return this.#protocol.sendCommand(commands);
    sendPublicly(this.#connection, commands);
  }
}

/** The commands once more, one by one, through the public interface. */
function sendPublicly(connection: NatsConnection, commands: Buffer): void {
  for (let position = 0; position < commands.length;) {
    const lineEnd = commands.indexOf('\r\n', position);
    const words = commands.toString('utf8', position, lineEnd).split(' ');
    const total = Number(words.at(-1));
    const body = commands.subarray(lineEnd + 2, lineEnd + 2 + total);
    position = lineEnd + 2 + total + 2;
    const subject = words[1] ?? '';
    const withHeaders = words[0] === 'HPUB';
    // A command ends with its size, and the size of the headers before it where there are some.
    const reply = words.length === (withHeaders ? 5 : 4) ? { reply: words[2] ?? '' } : {};
    if (!withHeaders) connection.publish(subject, body, reply);
    else {
      const headerLength = Number(words.at(-2));
      const headers = parseHeaders(body.subarray(0, headerLength));
      connection.publish(subject, body.subarray(headerLength), { ...reply, headers });
    }
  }
}

function parseHeaders(block: Uint8Array): MsgHdrs {
  const headers = createHeaders();
  for (const [name, value] of headerEntries(block)) headers.append(name, value);
  return headers;
}
