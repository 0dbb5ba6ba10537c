import { z } from 'zod';
import { httpService, secondsIn, serviceUrl } from './http.ts';
import { defineService, type Note } from './service.ts';
import { bodyOf } from './text.ts';
import { firstLine } from './windows.ts';

/** Characters of a message at most. */
const LONGEST = 4096;

const TOKEN = /^\d+:[A-Za-z0-9_-]+$/;

const encode = (value: string): string =>
  value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** HTML as the text that it shows: it cannot be cut without leaving a tag open. */
const asText = (html: string): string =>
  html
    .replaceAll(/<[^>]*>/g, '')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&');

function textOf(note: Note, isHtml: boolean): Readonly<Record<string, unknown>> {
  const { title, text, tail } = note;
  if (isHtml) {
    const html = [title === undefined ? undefined : `<b>${title}</b>`, text, tail]
      .filter((part) => part !== undefined)
      .join('\n');
    if (html.length <= LONGEST) return { text: html, parse_mode: 'HTML' };
  }
  const plain = isHtml ? asText : (part: string) => part;
  const first = title === undefined ? '' : `${plain(title)}\n`;
  return { text: first + bodyOf({ ...note, text: plain(text) }, LONGEST - first.length) };
}

/** Telegram, by a bot. */
export const telegram = defineService({
  name: 'telegram',
  summary: 'Telegram, by a bot.',
  example: '{ token: "1:x", chat: "-1001" }',
  options: z.strictObject({
    token: z.string().regex(TOKEN, 'a token of a bot has the form 123456:ABC-DEF').describe('Token of the bot.'),
    chat: z
      .union([z.string().min(1), z.number().int()])
      .describe('Id of the chat, or the name of a channel (`@alerts`).'),
    format: z
      .enum(['text', 'html'])
      .default('text')
      .describe(
        'html: the templates are HTML as Telegram has it, in which event data is escaped. A message that is too long is sent as text.',
      ),
    silent: z.boolean().default(false).describe('Whether it arrives without a sound.'),
    url: serviceUrl('The Bot API.').default('https://api.telegram.org'),
  }),
  prepare: ({ token, chat, format, silent, url }, context) => {
    const at = new URL(url);
    const base = at.pathname.replace(/\/$/, '');
    return httpService(
      {
        url: at,
        path: `${base}/bot${token}/sendMessage`,
        shownPath: `${base}/bot***/sendMessage`,
        secrets: [token],
        ...(format === 'html' ? { encode, excerpt: (note) => encode(firstLine(asText(note.text))) } : {}),
        document: (note) => ({
          chat_id: chat,
          ...textOf(note, format === 'html'),
          link_preview_options: { is_disabled: true },
          disable_notification: silent,
        }),
        retryAfter: (body) => secondsIn(body, 'parameters', 'retry_after'),
      },
      context,
    );
  },
});
