/** The certificate of a listener, and that it is renewed while it runs. */
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type Server } from 'node:tls';
import type { Config } from '../config/schema.ts';
import { reasonOf } from '../config/substitute.ts';
import { asOuzelError, OuzelError } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';

export type TlsSettings = NonNullable<Config['http']['tls']>;

/** Milliseconds between looks at the files. */
const LOOK = 60_000;
/** Milliseconds that a handshake may take. */
const HANDSHAKE = 10_000;

export interface TlsOptions {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
  /** A certificate is asked for; who shows none is let in as far as `access` goes. */
  readonly requestCert: boolean;
  readonly rejectUnauthorized: false;
  readonly handshakeTimeout: number;
}

/**
 * Reads the files.
 *
 * @param field Where they stand in the configuration.
 * @throws OuzelError CONFIG_UNREADABLE, CONFIG_INVALID_VALUE
 */
export async function tlsOptions({ cert, key, client_ca: ca }: TlsSettings, field = 'http.tls'): Promise<TlsOptions> {
  const options = {
    cert: await read(`${field}.cert`, cert),
    key: await read(`${field}.key`, key),
    ...(ca === undefined ? {} : { ca: await read(`${field}.client_ca`, ca) }),
    requestCert: ca !== undefined,
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE,
  } as const;
  try {
    createSecureContext(options);
  } catch (error) {
    const message = `${field}: the certificate, its key or the authorities are not valid: ${(error as Error).message}`;
    throw new OuzelError('CONFIG_INVALID_VALUE', message, { cause: error });
  }
  return options;
}

async function read(field: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    const message = `${field}: the file ${path} cannot be read: ${reasonOf(error)}`;
    throw new OuzelError('CONFIG_UNREADABLE', message, { cause: error });
  }
}

/**
 * Takes over what is written into the files later; connections that are open keep what they began with. Files that are
 * not valid change nothing, and are said once.
 *
 * @returns Ends it.
 */
export function followRenewals(
  server: Pick<Server, 'setSecureContext'>,
  settings: TlsSettings,
  logger: Logger,
  every = LOOK,
): () => void {
  const state = async (): Promise<string> => {
    const paths = [settings.cert, settings.key, ...(settings.client_ca === undefined ? [] : [settings.client_ca])];
    const found = await Promise.all(paths.map((path) => stat(path)));
    return found.map(({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`).join(' ');
  };
  let known: string | undefined;
  const look = async (): Promise<void> => {
    const now = await state().catch(() => undefined);
    // A file that is just being replaced is there again at the next look.
    if (now === undefined || now === known) return;
    const first = known === undefined;
    known = now;
    if (first) return;
    try {
      server.setSecureContext(await tlsOptions(settings));
      logger.info({ cert: settings.cert }, 'TLS certificate renewed');
    } catch (error) {
      const { code, message } = asOuzelError(error);
      logger.error({ code }, `${message}; the one in use stays`);
    }
  };
  const start = (): void => {
    look().catch((error: unknown) => logger.error({ error: asOuzelError(error).message }, 'TLS files not looked at'));
  };
  start();
  const timer = setInterval(start, every);
  timer.unref();
  return () => clearInterval(timer);
}
