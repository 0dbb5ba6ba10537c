/** A publisher that writes down what it is to publish, and answers when it is told to. */
import { headerEntries } from '../../../src/core/headers.ts';
import type { Publisher, PublishListener } from '../../../src/deliver/ports.ts';
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

/** The value of each header, all of one name joined. */
export const valuesOf = ({ headers }: Publication): Record<string, string> => {
  const values: Record<string, string> = {};
  for (const [name, value] of headers) values[name] = values[name] === undefined ? value : `${values[name]}, ${value}`;
  return values;
};
