/** A publisher that writes down what it is to publish, and answers when it is told to. */
import { headerEntries } from '../../../src/core/headers.ts';
import type { TargetContext } from '../../../src/deliver/component.ts';
import type { Publisher, PublishListener, Requester } from '../../../src/deliver/ports.ts';
import { bytes } from '../core/helpers.ts';

export interface Publication {
  readonly subject: string;
  readonly block: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  readonly timeout: number | undefined;
  readonly listener: PublishListener | undefined;
}

export class RecordingPublisher implements Publisher {
  readonly publications: Publication[] = [];
  answer: (publication: Publication) => void = () => undefined;

  publish(subject: string, block: string, body: Uint8Array | string, timeout: number, listener: PublishListener): void {
    this.answer(this.#note(subject, block, body, timeout, listener));
  }

  publishCore(subject: string, block: string, body: Uint8Array | string): void {
    this.#note(subject, block, body);
  }

  get last(): Publication {
    const last = this.publications.at(-1);
    if (last === undefined) throw new Error('nothing was published');
    return last;
  }

  #note(
    subject: string,
    block: string,
    body: Uint8Array | string,
    timeout?: number,
    listener?: PublishListener,
  ): Publication {
    const text = typeof body === 'string' ? body : Buffer.from(body).toString();
    const publication = { subject, block, headers: headerEntries(bytes(block)), body: text, timeout, listener };
    this.publications.push(publication);
    return publication;
  }
}

/** A requester for components that have nothing to ask. */
export const NOBODY: Requester = {
  request: (subject) => {
    throw new Error(`nobody was to be asked about ${subject}`);
  },
};

/** What a target gets for the route `r` of a consumer `billing`. */
export const targetContext = (more: Partial<TargetContext>): TargetContext => ({
  consumer: 'billing',
  route: 'r',
  stream: 'EVENTS',
  bindTemplate: (template) => template.bind(new Map()),
  bind: (expression) => expression.bind(new Map()),
  missing: () => undefined,
  keyOf: () => undefined,
  publisher: new RecordingPublisher(),
  requester: NOBODY,
  files: {
    append: (path) => {
      throw new Error(`nothing was to be written to ${path}`);
    },
  },
  folderOf: () => '/etc/ouzel',
  log: () => undefined,
  ...more,
});

/** The value of each header, all of one name joined. */
export const valuesOf = ({ headers }: Publication): Record<string, string> => {
  const values: Record<string, string> = {};
  for (const [name, value] of headers) values[name] = values[name] === undefined ? value : `${values[name]}, ${value}`;
  return values;
};
