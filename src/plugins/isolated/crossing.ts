/** An event on its way into the thread of a plugin, and what the plugin changed on its way back. */
import { dataOf } from '../../contracts/decode.ts';
import { type Contents, Event } from '../../core/event.ts';
import { EventWriter } from '../event.ts';
import { jsonCopy } from '../values.ts';
import type { Edit, EventCrossing } from './protocol.ts';

/** Bytes with a buffer of their own: those that they are part of would cross too. */
const alone = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);

/** @throws OuzelError EVENT_UNDECODABLE */
export function crossing(event: Event): EventCrossing {
  const { specversion, id, source, type, time, subject, datacontenttype, dataschema, carrier, contents } = event;
  // Bytes that nothing changed cross as they came, and are parsed there if the plugin asks.
  const asCame = !event.dataChanged && contents.bodyIsData;
  const value = asCame ? undefined : event.data;
  return {
    subject: carrier.subject,
    stream: event.stream,
    position: event.position,
    headers: carrier.headers && alone(carrier.headers),
    attributes: { specversion, id, source, type, time, subject, datacontenttype, dataschema },
    extensions: event.extensions,
    data: asCame
      ? { body: alone(carrier.body), type: contents.datacontenttype }
      : { value: value instanceof Uint8Array ? alone(value) : value },
  };
}

/** The event in the plugin's thread. */
export function arrived({ data, attributes, extensions, subject, stream, position, headers }: EventCrossing): Event {
  const contents: Contents = {
    ...attributes,
    extensions,
    bodyIsData: true,
    get data() {
      if (!('body' in data)) return data.value;
      return dataOf(Buffer.from(data.body.buffer), data.type);
    },
  };
  const carrier = { subject, reply: new Uint8Array(), headers, body: new Uint8Array() };
  return new Event(carrier, position, stream, () => contents);
}

/** The event of a transformer, which notes what is changed. */
export class NotingWriter extends EventWriter {
  readonly edits: Edit[] = [];

  override set(path: string, value: unknown): void {
    const copy = jsonCopy(value, path);
    super.set(path, copy);
    this.edits.push([path, copy]);
  }

  override remove(path: string): void {
    super.remove(path);
    this.edits.push([path]);
  }
}

/** Makes the changes of a transformer, as it would have made them here. */
export function applyEdits(run: { readonly event: Event }, edits: readonly Edit[]): void {
  if (edits.length === 0) return;
  const event = new EventWriter(run);
  for (const [path, value] of edits)
    if (value === undefined) event.remove(path);
    else event.set(path, value);
}
