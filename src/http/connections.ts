/**
 * Connections of a listener, bounded: who opens many and sends slowly, or nothing at all, loses them to who asks
 * something. So `/metrics` and `/healthz` are answered however many stand there.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface ConnectionLimits {
  /** Connections at once. */
  readonly total: number;
  /** Of them, from one address. */
  readonly perAddress: number;
  /** Milliseconds for which the rest of an answer may find no reader. */
  readonly unread: number;
}

interface Connection {
  readonly socket: Socket;
  readonly address: string;
  /** Requests that came whole as far as their headers go, and are not answered yet. */
  active: number;
}

/** With TLS there are two sockets for one connection; both are between the same ends. */
const endOf = ({ remoteAddress = '', remotePort = 0 }: Socket): string => `${remoteAddress} ${remotePort}`;

/**
 * Bounds the connections of a server. One too many takes the place of the oldest that has no request in work; where all
 * have, it is closed itself.
 */
export function limitConnections(server: Server, limits: ConnectionLimits): void {
  // In the order in which they came.
  const open = new Map<string, Connection>();

  const makeRoom = (address: string | undefined, limit: number): boolean => {
    const held = [...open].filter(([, each]) => address === undefined || each.address === address);
    if (held.length < limit) return true;
    const idle = held.find(([, { active }]) => active === 0);
    if (idle === undefined) return false;
    const [end, { socket }] = idle;
    open.delete(end);
    socket.destroy();
    return true;
  };

  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    if (!makeRoom(address, limits.perAddress) || !makeRoom(undefined, limits.total)) return void socket.destroy();
    const end = endOf(socket);
    const connection: Connection = { socket, address, active: 0 };
    open.set(end, connection);
    socket.once('close', () => {
      if (open.get(end) === connection) open.delete(end);
    });
  });

  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const connection = open.get(endOf(socket));
    if (connection === undefined) return;
    connection.active++;
    let over = false;
    const answered = (): void => {
      if (over) return;
      over = true;
      connection.active--;
    };
    // All of the answer is written, which is not to say that anybody reads it.
    response.once('prefinish', () => {
      answered();
      socket.setTimeout(limits.unread);
    });
    response.once('close', answered);
  });
}
