/** How a webhook shows who it is: one header, which stands in the configuration or is made of a token that is fetched. */
import { z } from 'zod';
import { literal } from '../../config/fields.ts';
import { basic, configurableHeader, httpValue } from './headers.ts';
import { OAuth2Tokens, oauth2Options } from './oauth2.ts';

const PUT_IN = 'Put it in as `${file:…}` or `${VAR}`.';

/** How requests are authorized. */
export const authOptions = () =>
  z
    .strictObject({
      bearer: literal().optional().describe(`A token, sent as \`authorization: Bearer …\`. ${PUT_IN}`),
      basic: z
        .strictObject({
          user: literal().describe('The user.'),
          password: literal().describe(`Its password. ${PUT_IN}`),
        })
        .optional()
        .describe('HTTP basic authentication.'),
      header: z
        .strictObject({
          name: configurableHeader().describe('Its name, for example `x-api-key`.'),
          value: literal().describe(`What is secret. ${PUT_IN}`),
        })
        .optional()
        .describe('A header of any name.'),
      oauth2: oauth2Options().optional(),
    })
    .refine((given) => Object.values(given).filter((each) => each !== undefined).length === 1, {
      error: 'write exactly one of: bearer, basic, header, oauth2',
    })
    .describe('What the receiver knows Ouzel by. Shown nowhere.');

export type AuthOptions = z.output<ReturnType<typeof authOptions>>;

/** The header that authorizes requests. */
export interface Authorizer {
  /** Its name, in lower case. */
  readonly name: string;
  /** Its value where it is always the same. */
  readonly constant?: string | undefined;
  /**
   * Its value now.
   *
   * @param signal Ends the waiting for it; what it was aborted with is thrown.
   * @throws OuzelError TARGET_UNAVAILABLE, TARGET_TIMEOUT, TARGET_ADDRESS
   */
  value(signal: AbortSignal): Promise<string>;
  /** The target did not take a value (401). Whether another one can be had. */
  refused(value: string): boolean;
}

const always = (name: string, value: string): Authorizer => ({
  name: name.toLowerCase(),
  constant: httpValue(value),
  value: () => Promise.resolve(httpValue(value)),
  refused: () => false,
});

/** By the options that they are fetched for: all routes to one target share them. */
const tokens = new WeakMap<object, OAuth2Tokens>();

/** @param limits Of the exchange with whoever gives out tokens. */
export function createAuthorizer(
  { bearer, basic: user, header, oauth2 }: AuthOptions,
  limits: { readonly timeout: number; readonly allowPrivate: boolean },
): Authorizer {
  if (bearer !== undefined) return always('authorization', `Bearer ${bearer}`);
  if (user !== undefined) return always('authorization', basic(user));
  if (header !== undefined) return always(header.name, header.value);
  if (oauth2 === undefined) throw new TypeError('no way of authorization');
  let shared = tokens.get(oauth2);
  if (shared === undefined) {
    shared = new OAuth2Tokens(oauth2, limits);
    tokens.set(oauth2, shared);
  }
  return shared;
}

/** The texts of a header that must not be shown. */
export const secretsOf = (value: string): string[] => [value, ...value.split(' ').slice(1)];
