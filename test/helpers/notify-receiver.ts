/** The end of sd_notify(3) that a service manager has: a datagram socket, which Node.js does not have. */
import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { endWithThisProcess } from '../../src/nats/server.ts';
import { releasing, temporaryDirectory } from './resources.ts';
import { waitFor } from './wait.ts';

/** What came in one datagram, and when, in milliseconds of the monotonic clock of the machine. */
export interface Notification {
  readonly variables: Readonly<Record<string, string>>;
  readonly at: number;
}

export interface NotifyReceiver extends AsyncDisposable {
  /** For `NOTIFY_SOCKET`. */
  readonly path: string;
  readonly notifications: readonly Notification[];
  /** Waits for one that says this, from the `from`th on. */
  until(variable: string, value: string | RegExp, from?: number): Promise<Notification>;
}

const RECEIVER = `
import json, socket, sys, time
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
print("bound", flush=True)
while True:
    text = receiver.recv(65536).decode()
    variables = dict(line.split("=", 1) for line in text.split("\\n") if "=" in line)
    print(json.dumps({"variables": variables, "at": time.monotonic_ns() / 1e6}), flush=True)
`;

/** Why there is none; undefined where there is. */
export async function noNotify(): Promise<string | undefined> {
  for (const program of ['systemd-notify', 'python3'])
    if (
      !(await promisify(execFile)(program, ['--version']).then(
        () => true,
        () => false,
      ))
    )
      return `no ${program} in PATH`;
  return undefined;
}

/** Starts one. It ends with the test, or with `await using`. */
export async function startNotifyReceiver(): Promise<NotifyReceiver> {
  const path = join(await temporaryDirectory('notify'), 'socket');
  const child = spawn('python3', ['-c', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  endWithThisProcess(child);
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const notifications: Notification[] = [];
  let bound = false;
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === 'bound') bound = true;
      else notifications.push(JSON.parse(line) as Notification);
    }
  });
  await waitFor(() => bound, { what: 'the socket' });
  return {
    path,
    notifications,
    until: (variable, value, from = 0) =>
      waitFor(
        () =>
          notifications
            .slice(from)
            .find(({ variables: { [variable]: found } }) =>
              typeof value === 'string' ? found === value : found !== undefined && value.test(found),
            ),
        {
          timeout: 20_000,
          what: () => `${variable}=${value.toString()}: ${JSON.stringify(notifications.slice(from))}`,
        },
      ),
    [Symbol.asyncDispose]: releasing(async () => {
      child.kill('SIGTERM');
      await ended;
    }),
  };
}
