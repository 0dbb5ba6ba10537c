import { z } from 'zod';
import { httpService, serviceUrl } from './http.ts';
import { defineService } from './service.ts';
import { bodyOf, cut, cutBytes } from './text.ts';

/** Bytes of a message; what is longer would become an attachment. */
const LONGEST = 4096;
const LONGEST_TITLE = 250;
const TOPIC = /^[-_A-Za-z0-9]{1,64}$/;

const PRIORITIES = { min: 1, low: 2, default: 3, high: 4, urgent: 5 } as const;

/** The topic of a URL that ends in one, and the path before it. */
function splitPath(pathname: string): { readonly topic: string; readonly base: string } {
  const parts = pathname.replace(/\/$/, '').split('/');
  const topic = parts.pop() ?? '';
  return { topic, base: `${parts.join('/')}/` };
}

/** ntfy, at ntfy.sh or a server of one's own. */
export const ntfy = defineService({
  name: 'ntfy',
  summary: 'ntfy, at ntfy.sh or a server of your own.',
  example: '{ url: "https://ntfy.sh/ouzel-alerts", priority: high }',
  options: z
    .strictObject({
      url: serviceUrl('URL of the topic; of the server, if `topic` is given.'),
      topic: z.string().regex(TOPIC).optional().describe('Topic. Default: the last part of the URL.'),
      token: z.string().min(1).optional().describe('Access token. A user and a password can stand in the URL instead.'),
      priority: z.enum(['min', 'low', 'default', 'high', 'urgent']).default('default').describe('How loud it is.'),
      tags: z.array(z.string().min(1)).max(10).optional().describe('Tags and names of emojis.'),
    })
    .superRefine(({ url, topic }, context) => {
      const path = URL.parse(url)?.pathname ?? '';
      if (topic !== undefined || TOPIC.test(splitPath(path).topic)) return;
      const params = { code: 'CONFIG_MISSING_KEY' } as const;
      context.addIssue({ code: 'custom', path: ['url'], message: 'the URL does not end in a topic', params });
    }),
  prepare: ({ url, topic, token, priority, tags }, context) => {
    const at = new URL(url);
    const { pathname } = at;
    const found = topic === undefined ? splitPath(pathname) : { topic, base: pathname };
    return httpService(
      {
        url: at,
        path: found.base,
        shownPath: found.base,
        ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` }, secrets: [token] }),
        document: (note) => ({
          topic: found.topic,
          ...(note.title === undefined ? {} : { title: cut(note.title, LONGEST_TITLE) }),
          message: bodyOf(note, LONGEST, cutBytes),
          priority: PRIORITIES[priority],
          ...(tags === undefined ? {} : { tags }),
        }),
      },
      context,
    );
  },
});
