/**
 * Answers 204 to every request, in a process of its own, as cheaply as can be: what is measured is who sends. Tells its
 * parent the port, and on every message how many requests it has answered.
 */
import { createServer } from 'node:net';

const ANSWER = 'HTTP/1.1 204 No Content\r\n\r\n';
const LENGTH = /\r\ncontent-length: (\d+)/i;

let answered = 0;

const server = createServer({ noDelay: true }, (socket) => {
  let waiting = Buffer.alloc(0);
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => {
    waiting = waiting.length === 0 ? Buffer.from(chunk) : Buffer.concat([waiting, chunk]);
    for (;;) {
      const end = waiting.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = Number(LENGTH.exec(waiting.toString('latin1', 0, end))?.[1] ?? 0);
      if (waiting.length < end + 4 + length) return;
      waiting = waiting.subarray(end + 4 + length);
      answered++;
      socket.write(ANSWER);
    }
  });
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.(typeof address === 'object' ? address?.port : undefined);
});

process.on('message', () => process.send?.(answered));
process.on('disconnect', () => process.exit());
