/** Every way to verify a request, one line each. */
import { github } from './github.ts';
import { hmac } from './hmac.ts';
import { jwt } from './jwt.ts';
import { slack } from './slack.ts';
import { standard } from './standard.ts';
import { stripe } from './stripe.ts';
import { token } from './token.ts';

export const verifiers = [standard, github, stripe, slack, hmac, token, jwt] as const;
