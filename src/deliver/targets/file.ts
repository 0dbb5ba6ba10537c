import { resolve } from 'node:path';
import { z } from 'zod';
import { duration, size, template } from '../../config/fields.ts';
import { structuredEvent } from '../../contracts/encode.ts';
import type { Event } from '../../core/event.ts';
import { stringifyJson } from '../../core/json.ts';
import type { Run } from '../../core/run.ts';
import { OuzelError } from '../../errors.ts';
import { Fault } from '../../expression/index.ts';
import { faultError } from '../../pipeline/faults.ts';
import { defineTargetComponent } from '../component.ts';
import { ofThisEvent } from '../files/errors.ts';

/**
 * What an expression may put into a path: a part of one name. It begins with no dot, so that it can make up neither
 * `..` nor a hidden file, and holds no separator.
 */
// oxlint-disable-next-line no-control-regex -- control characters are among what must not get into a path
const NAME = /^(?!\.)[^/\\\u0000-\u001f\u007f]{1,200}$/u;

const FORMATS: Readonly<Record<'cloudevents' | 'data', (event: Event) => unknown>> = {
  cloudevents: structuredEvent,
  data: ({ data }) => (data instanceof Uint8Array ? Buffer.from(data).toString('base64') : data),
};

/** Appends events to files, a line each. */
export const file = defineTargetComponent({
  name: 'file',
  batch: 'each',
  summary: 'Appends each event as a line of JSON to a file (NDJSON). A delivery is confirmed when it is on the disk.',
  example: '{ path: "data/{{ event.data.customer }}.ndjson", rotate: { size: 100MiB, every: 1d, keep: 7 } }',
  options: z.strictObject({
    path: template()
      .refine(({ constant }) => constant === undefined || /[^/]$/.test(constant), { error: 'it names no file' })
      .describe(
        'The file; its folder is made. A relative path starts at the folder of the configuration. What an expression puts in must be part of one name: no slash, and no dot at its beginning.',
      ),
    format: z
      .enum(['cloudevents', 'data'])
      .default('cloudevents')
      .describe('cloudevents: the whole event as a structured CloudEvent; data: its data alone.'),
    rotate: z
      .strictObject({
        size: size().optional().describe('A file that would become larger is put aside.'),
        every: duration({ min: 1000 })
          .optional()
          .describe(
            'At the first line of each such stretch of time (UTC: `1d` begins at midnight), the file is put aside.',
          ),
        keep: z
          .number()
          .int()
          .min(0)
          .optional()
          .describe('Files that were put aside and are kept; older ones are removed. Default: all.'),
      })
      .prefault({})
      .describe('When the file is put aside as `NAME.20260131T080000123Z` and a new one is begun. Default: never.'),
  }),
  prepare({ path: source, format, rotate }, context) {
    const { files } = context;
    const folder = context.folderOf(source.place);
    const bound = context.bindTemplate(source);
    const constant = source.constant === undefined ? undefined : resolve(folder, source.constant);
    const rotation = { size: rotate.size, every: rotate.every, keep: rotate.keep };
    const valueOf = FORMATS[format];

    const pathOf = (run: Run): string => {
      if (constant !== undefined) return constant;
      const path = bound.text(run, (value) => NAME.test(value));
      if (!(path instanceof Fault)) return resolve(folder, path);
      if (path.kind !== 'missing_field')
        throw new OuzelError('EVENT_INVALID_PATH', faultError(path, source).message, { place: source.place });
      context.missing(path.path ?? source.source);
      throw faultError(path, source);
    };

    return {
      span: { kind: 'internal', name: `file ${context.route}`, attributes: {} },
      preview({ run, event }) {
        return { action: `append a line to ${pathOf(run)}`, body: stringifyJson(valueOf(event)) };
      },
      deliver(delivery) {
        files.append(pathOf(delivery.run), stringifyJson(valueOf(delivery.event)), rotation, {
          written: () => delivery.confirm(),
          failed: (error) => delivery.fail(constant === undefined ? ofThisEvent(error) : error),
        });
      },
    };
  },
});
