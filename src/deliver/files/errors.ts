/** What the operating system says no with, in the words of deliveries. */
import { OuzelError } from '../../errors.ts';

const WORDS: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left on the device',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EACCES: 'permission denied',
  EPERM: 'the operation is not permitted',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of the path is a file, not a folder',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'its symbolic links go in a circle',
  EMFILE: 'too many files are open',
  EIO: 'the device reports an error',
};

/** Codes that come of the name, which an event may have made. Everything else is the disk's doing, and may pass. */
const OF_THE_NAME: ReadonlySet<string> = new Set(['ENAMETOOLONG', 'EISDIR', 'ENOTDIR', 'ELOOP', 'EINVAL', 'ENOTREG']);

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

/** A file that cannot be written is unavailable: the events are kept until it can. */
export function fileError(error: unknown, path: string): OuzelError {
  const code = codeOf(error);
  const words = WORDS[code] ?? (error instanceof Error ? error.message : String(error));
  return new OuzelError('TARGET_UNAVAILABLE', `${path} cannot be written: ${words}${code === '' ? '' : ` (${code})`}`, {
    cause: error,
  });
}

/** The same where the event has a part in the name of the file: another event may fare better. */
export function ofThisEvent(error: OuzelError): OuzelError {
  if (!OF_THE_NAME.has(codeOf(error.cause))) return error;
  return new OuzelError('TARGET_REJECTED', error.message, { cause: error.cause });
}
