/** Who runs a command. */
import { hostname, userInfo } from 'node:os';

/** `user@host`; a user without an entry on this machine is told by the number. */
export function thisUser(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    return `${process.getuid?.() ?? 'unknown'}@${hostname()}`;
  }
}
