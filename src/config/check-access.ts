/** What `access` needs of the listener. */
import { formatDuration } from './fields.ts';
import { type ConfigProblem, problemAt } from './problems.ts';
import type { Config } from './schema.ts';
import { type ConfigPath, nearestNode, type SourceNode, spanOf } from './source.ts';

/** Entries that nobody could ever match, and times that do not fit. */
export function checkAccess({ access, http }: Config, root: SourceNode): ConfigProblem[] {
  const report = (path: ConfigPath, message: string, hint: string): ConfigProblem => {
    const node = nearestNode(root, path);
    const at = node.key ?? spanOf(node);
    return problemAt(node.file, at, { code: 'CONFIG_MISSING_KEY', message, hint, path });
  };
  const problems = access.flatMap(({ who }, index) => [
    ...(who.jwt !== undefined && http.oidc === undefined
      ? [report(['access', index, 'who', 'jwt'], 'nobody says whose tokens these are', 'set http.oidc')]
      : []),
    ...(who.cert !== undefined && http.tls?.client_ca === undefined && http.ingress_tls?.client_ca === undefined
      ? [
          report(
            ['access', index, 'who', 'cert'],
            'no client certificate is asked for',
            'set http.tls.client_ca to the authority that issues them',
          ),
        ]
      : []),
  ]);
  const { oidc } = http;
  if (oidc !== undefined && oidc.cooldown > oidc.cache)
    problems.push(
      report(['http', 'oidc', 'cooldown'], 'it is longer than cache', `at most ${formatDuration(oidc.cache)}`),
    );
  return problems;
}
