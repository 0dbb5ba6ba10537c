/** The certificates of a client, read from files whenever a connection is made. */
import { readFile } from 'node:fs/promises';
import type { buildConnector } from 'undici';
import { z } from 'zod';
import { filePath } from '../../config/fields.ts';
import { reasonOf } from '../../config/substitute.ts';
import { OuzelError } from '../../errors.ts';

/** Paths as they are written. */
export const tlsOptions = () =>
  z
    .strictObject({
      cert: filePath().optional().describe('File with the client certificate, and those between it and its authority.'),
      key: filePath().optional().describe('File with the private key of the client certificate.'),
      ca: filePath()
        .optional()
        .describe('File with the certificates of the authorities to trust, in place of the usual ones.'),
    })
    .refine(({ cert, key }) => (cert === undefined) === (key === undefined), {
      error: '`cert` and `key` stand together or not at all',
    })
    .describe(
      'TLS with a client certificate (mTLS) or an authority of your own. The files are read for each new connection, so a renewed certificate needs no reload.',
    );

/** Absolute paths. */
export interface TlsFiles {
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly ca?: string | undefined;
}

interface TlsContent {
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
}

/** @throws OuzelError TARGET_UNAVAILABLE */
async function contentOf(files: TlsFiles): Promise<TlsContent> {
  const given = Object.entries(files).filter((each): each is [string, string] => each[1] !== undefined);
  const read = async ([name, path]: [string, string]): Promise<[string, string]> => {
    try {
      return [name, await readFile(path, 'utf8')];
    } catch (error) {
      throw new OuzelError('TARGET_UNAVAILABLE', `the file ${path} (tls.${name}) cannot be read: ${reasonOf(error)}`);
    }
  };
  return Object.fromEntries(await Promise.all(given.map(read)));
}

/**
 * A connector with the certificates that its files hold when a connection is made. Sessions are resumed for as long as
 * they stay the same.
 *
 * @param make Makes a connector with these certificates.
 */
export function withTlsFiles(
  files: TlsFiles,
  make: (content: TlsContent) => buildConnector.connector,
): buildConnector.connector {
  let known = '';
  let connect: buildConnector.connector | undefined;
  return (options, callback) => {
    contentOf(files)
      .then((content) => {
        const now = JSON.stringify(content);
        if (connect === undefined || now !== known) connect = make(content);
        known = now;
        connect(options, callback);
      })
      .catch((error: unknown) => callback(error as Error, null));
  };
}
