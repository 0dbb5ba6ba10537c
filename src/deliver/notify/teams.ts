import { z } from 'zod';
import { httpService, serviceUrl } from './http.ts';
import { defineService, type Note } from './service.ts';
import { bodyOf } from './text.ts';

/** Characters and lines: a message has 28 KB at most, and a character up to four bytes with its escape. */
const LONGEST = 5000;
const MOST_LINES = 60;

/** The markup of a TextBlock. */
const encode = (value: string): string => value.replaceAll(/[\\*_`[\]()#<>~|]/g, String.raw`\$&`);

const TORN = /\\$/;

/** A line break within a TextBlock is none in Teams; each line is a block of its own. */
const block = (text: string, more: Readonly<Record<string, unknown>> = {}) => ({
  type: 'TextBlock',
  text,
  wrap: true,
  spacing: 'None',
  ...more,
});

function cardOf(note: Note): Readonly<Record<string, unknown>> {
  const { title } = note;
  const lines = bodyOf({ ...note, tail: undefined }, LONGEST, undefined, TORN)
    .split('\n')
    .filter((line) => line.trim() !== '');
  const shown = lines.length > MOST_LINES ? [...lines.slice(0, MOST_LINES), '…'] : lines;
  if (note.tail !== undefined) shown.push(note.tail);
  return {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    type: 'AdaptiveCard',
    version: '1.4',
    body: [
      ...(title === undefined ? [] : [block(title, { weight: 'Bolder', size: 'Medium' })]),
      ...shown.map((line) => block(line)),
    ],
  };
}

/** Microsoft Teams, by a workflow that posts to a channel when a webhook request comes. */
export const teams = defineService({
  name: 'teams',
  summary: 'Microsoft Teams, by a workflow that starts when a webhook request comes. Sends an Adaptive Card.',
  example: '{ url: "https://example.webhook.office.com/workflows/x?sig=y" }',
  options: z.strictObject({
    url: serviceUrl('URL of the workflow. It is a secret.'),
  }),
  prepare: ({ url }, context) =>
    httpService(
      {
        url: new URL(url),
        encode,
        document: (note) => ({
          type: 'message',
          attachments: [
            { contentType: 'application/vnd.microsoft.card.adaptive', contentUrl: null, content: cardOf(note) },
          ],
        }),
      },
      context,
    ),
});
