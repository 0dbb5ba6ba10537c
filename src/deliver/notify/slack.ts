import { z } from 'zod';
import { httpService, serviceUrl } from './http.ts';
import { defineService } from './service.ts';
import { bodyOf } from './text.ts';

/** Characters of a message that Slack advises; it cuts what is longer than 40,000. */
const LONGEST = 4000;

/** These three are all that Slack reads as markup of links, mentions and `<!here>`. */
const encode = (value: string): string =>
  value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const TORN = /&[a-z]{0,3}$/;

/** Slack, by an incoming webhook. */
export const slack = defineService({
  name: 'slack',
  summary: 'Slack, by an incoming webhook.',
  example: '{ url: "https://hooks.slack.com/services/T0/B0/x" }',
  options: z.strictObject({
    url: serviceUrl('URL of the incoming webhook. It is a secret.'),
  }),
  prepare: ({ url }, context) =>
    httpService(
      {
        url: new URL(url),
        encode,
        document: (note) => {
          const title = note.title === undefined ? '' : `*${note.title}*\n`;
          return {
            text: title + bodyOf(note, LONGEST - title.length, undefined, TORN),
            unfurl_links: false,
            unfurl_media: false,
          };
        },
      },
      context,
    ),
});
