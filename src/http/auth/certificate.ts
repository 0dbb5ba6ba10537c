/** What a client certificate says of whoever shows it. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** `undefined`: none was shown. `invalid`: no authority that is trusted here vouches for it, or it is out of date. */
export type Certificate = { readonly names: readonly string[] } | 'invalid' | undefined;

/** The certificate at the other end of a connection. */
export function certificateOf(socket: Socket): Certificate {
  if (!(socket instanceof TLSSocket)) return undefined;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  if (!socket.authorized) return 'invalid';
  return { names: alternativeNames(certificate.subjectAltName ?? '') };
}

/** `DNS:a.example, URI:"spiffe://b, c"` → its entries; Node quotes those that would be mistaken for several. */
export const alternativeNames = (text: string): string[] =>
  [...text.matchAll(/(?:^|, )([A-Za-z ]+):(?:"((?:[^"\\]|\\.)*)"|([^,"]*))(?=, |$)/g)].map(
    ([, kind = '', quoted, plain = '']) => `${kind}:${quoted === undefined ? plain : unquoted(quoted)}`,
  );

const unquoted = (text: string): string => JSON.parse(`"${text}"`) as string;
