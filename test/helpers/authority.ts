/** Certificates for tests. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const openssl = async (...args: string[]): Promise<void> => void (await promisify(execFile)('openssl', args));

/** Makes certificates, with openssl. */
export interface Authority {
  readonly ca: string;
  /** Makes a key and a certificate, and answers with the paths of both. */
  issue(name: string, san: string): Promise<{ readonly cert: string; readonly key: string }>;
}

/** An authority of its own, in a folder. */
export async function authority(folder: string, name: string): Promise<Authority> {
  const [ca, caKey] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  await openssl('req', '-x509', ...ec, '-keyout', caKey, '-out', ca, '-subj', `/CN=${name}`, '-days', '2');
  return {
    ca,
    issue: async (who, san) => {
      const [cert, key, request, extension] = ['pem', 'key', 'csr', 'ext'].map((end) =>
        join(folder, `${name}-${who}.${end}`),
      ) as [string, string, string, string];
      await openssl('req', '-new', ...ec, '-keyout', key, '-out', request, '-subj', `/CN=${who}`);
      await writeFile(extension, `subjectAltName=${san}\n`);
      const signing = ['-CA', ca, '-CAkey', caKey, '-CAcreateserial', '-days', '2', '-extfile', extension];
      await openssl('x509', '-req', '-in', request, ...signing, '-out', cert);
      return { cert, key };
    },
  };
}
