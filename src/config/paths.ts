/** From the paths of files as they are written to absolute ones. */
import { isAbsolute, resolve } from 'node:path';
import { resolveTargetPaths } from './databases.ts';
import { sqlitePath } from '../sql/database.ts';
import { resolveLookupPaths } from './lookups.ts';
import type { Config } from './schema.ts';
import type { ConfigPath } from './source.ts';

/**
 * Paths of files start at the folder of the file that names them.
 *
 * @param folderOf The folder of the file that a path of the configuration stands in.
 */
export function resolvePaths(config: Config, folderOf: (path: ConfigPath) => string): Config {
  resolveLookupPaths(config, folderOf);
  resolveTargetPaths(config, folderOf);
  const absolute = (path: string): string => (isAbsolute(path) ? path : resolve(folderOf(['nats']), path));
  const { tls: served, ingress_tls: ingress } = config.http;
  const ofListener = (paths: typeof served): typeof served => paths && absolutePaths(paths, folderOf(['http']));
  const { creds, nkey, tls } = config.nats;
  return {
    ...config,
    audit: auditPaths(config.audit, folderOf),
    plugins: { dir: resolve(folderOf(['plugins']), config.plugins.dir) },
    ...(served === undefined && ingress === undefined
      ? {}
      : { http: { ...config.http, tls: ofListener(served), ingress_tls: ofListener(ingress) } }),
    nats: {
      ...config.nats,
      ...(creds === undefined ? {} : { creds: absolute(creds) }),
      ...(nkey === undefined || isSeed(nkey) ? {} : { nkey: absolute(nkey) }),
      ...(tls === undefined
        ? {}
        : {
            tls: absolutePaths(tls, folderOf(['nats'])),
          }),
    },
  };
}

const absolutePaths = <Paths extends object>(paths: Paths, folder: string): Paths =>
  Object.fromEntries(
    Object.entries(paths).map(([key, path]: [string, unknown]) => [
      key,
      typeof path === 'string' ? resolve(folder, path) : path,
    ]),
  ) as Paths;

/** Whether `nats.nkey` is the seed itself, not the path of a file that holds it. */
const isSeed = (nkey: string): boolean => /^S[A-Z2-7]{57}$/.test(nkey.trim());

function auditPaths(audit: Config['audit'], folderOf: (path: ConfigPath) => string): Config['audit'] {
  const path = audit.store === undefined ? undefined : sqlitePath(audit.store);
  return path === undefined ? audit : { ...audit, store: `sqlite:${resolve(folderOf(['audit']), path)}` };
}
