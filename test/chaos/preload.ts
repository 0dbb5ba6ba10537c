/**
 * Loaded into a daemon before its own code (`node --import`). It looks at what the daemon writes to its sockets, and
 * kills the process the moment before the armed point, or before the request of a lethal event: what comes before it is
 * on its way, nothing of what comes after it is.
 */
import { readFileSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { ARM_FILE, LAST_WORDS, LETHAL, type Point } from './points.ts';

let armed: { readonly name: string; readonly steps: RegExp[] } | undefined;
/** The end has come: nothing is written any more. */
let dying = false;

process.on('SIGUSR2', () => {
  const point = JSON.parse(readFileSync(process.env[ARM_FILE] ?? '', 'utf8')) as Point;
  armed = { name: point.name, steps: point.steps.map((step) => new RegExp(step, 'g')) };
});

function die(name: string): void {
  writeSync(2, `${LAST_WORDS} ${name}\n`);
  process.kill(process.pid, 'SIGKILL');
}

/** The position in these bytes at which the last step begins, or undefined; steps that were met are ticked off. */
function reached(chunk: Uint8Array, steps: RegExp[]): number | undefined {
  const text = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1');
  for (let from = 0; ;) {
    const [step] = steps;
    if (step === undefined) return undefined;
    step.lastIndex = from;
    const match = step.exec(text);
    if (match === null) return undefined;
    if (steps.length === 1) return match.index;
    steps.shift();
    from = match.index + match[0].length;
  }
}

type Write = (this: Socket, chunk: string | Uint8Array, ...rest: unknown[]) => boolean;
// oxlint-disable-next-line typescript/unbound-method -- it is called with the socket as `this`
const write = Socket.prototype.write as Write;

const watched: Write = function watched(chunk, ...rest) {
  if (dying) return true;
  if (typeof chunk === 'string') return write.call(this, chunk, ...rest);
  const end = (at: number, name: string): boolean => {
    dying = true;
    if (at === 0) die(name);
    return write.call(this, chunk.subarray(0, at), () => die(name));
  };
  const lethal = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).indexOf(LETHAL);
  // The command is HPUB or PUB.
  if (lethal !== -1) return end(Math.max(0, lethal - 1), 'by a lethal event');
  const at = armed && reached(chunk, armed.steps);
  return at === undefined ? write.call(this, chunk, ...rest) : end(at, armed?.name ?? '');
};
Socket.prototype.write = watched;
