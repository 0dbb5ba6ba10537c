import { z } from 'zod';
import { httpService, secondsIn, serviceUrl } from './http.ts';
import { defineService } from './service.ts';
import { bodyOf } from './text.ts';

/** Characters of a message at most. */
const LONGEST = 2000;
/** Links are not shown with what is behind them. */
const SUPPRESS_EMBEDS = 4;

const encode = (value: string): string => value.replaceAll(/[\\*_~`|>#[\]()<@]/g, String.raw`\$&`);

/** A backslash that lost what it stood before. */
const TORN = /\\$/;

/** Discord, by a webhook of a channel. */
export const discord = defineService({
  name: 'discord',
  summary: 'Discord, by a webhook of a channel.',
  example: '{ url: "https://discord.com/api/webhooks/1/x" }',
  options: z.strictObject({
    url: serviceUrl('URL of the webhook. It is a secret.'),
  }),
  prepare: ({ url }, context) =>
    httpService(
      {
        url: new URL(url),
        encode,
        document: (note) => {
          const title = note.title === undefined ? '' : `**${note.title}**\n`;
          return {
            content: title + bodyOf(note, LONGEST - title.length, undefined, TORN),
            allowed_mentions: { parse: [] },
            flags: SUPPRESS_EMBEDS,
          };
        },
        retryAfter: (body) => secondsIn(body, 'retry_after'),
      },
      context,
    ),
});
