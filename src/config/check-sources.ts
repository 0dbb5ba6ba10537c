/** What sources need of each other and of the listener. */
import { formatPlace } from '../errors.ts';
import { type ConfigProblem, problemAt } from './problems.ts';
import type { Config } from './schema.ts';
import { type ConfigPath, nearestNode, type SourceNode, spanOf } from './source.ts';

/** Two webhooks at one path, and two listeners at one address. */
export function checkSources({ sources, http }: Config, root: SourceNode): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const first = new Map<string, ConfigPath>();
  // The fleet's come behind the file's: of two, it is the fleet's that gives way.
  for (const [name, { webhook }] of Object.entries(sources)) {
    if (webhook === undefined) continue;
    const path: ConfigPath = ['sources', name, 'webhook', 'path'];
    const other = first.get(webhook.path);
    if (other === undefined) {
      first.set(webhook.path, path);
      continue;
    }
    const [kept, refused] = [other, path].toSorted(
      (a, b) => Number(isOfFleet(root, a)) - Number(isOfFleet(root, b)),
    ) as [ConfigPath, ConfigPath];
    first.set(webhook.path, kept);
    const node = nearestNode(root, refused);
    const there = nearestNode(root, kept);
    problems.push(
      problemAt(node.file, spanOf(node), {
        code: 'CONFIG_DUPLICATE_NAME',
        message: `${webhook.path} is already the path of the source "${String(kept[1])}"`,
        hint: `the other is ${formatPlace(there.file.place(spanOf(there).start))}`,
        path: refused,
      }),
    );
  }
  const { listen, ingress } = http;
  if (ingress !== undefined && ingress.port !== 0 && ingress.port === listen.port && ingress.host === listen.host) {
    const path: ConfigPath = ['http', 'ingress'];
    const node = nearestNode(root, path);
    const message = 'http.listen has this address already';
    const hint = 'what comes in has a listener of its own, so that others can reach it and nothing else';
    problems.push(problemAt(node.file, spanOf(node), { code: 'CONFIG_INVALID_VALUE', message, hint, path }));
  }
  return problems;
}

const isOfFleet = (root: SourceNode, path: ConfigPath): boolean => nearestNode(root, path).file.layer === 'fleet';
