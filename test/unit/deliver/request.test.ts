/** Request and reply: what is asked, what becomes of the reply, and of its absence. */
import { describe, expect, it } from 'vitest';
import type { Event } from '../../../src/core/event.ts';
import { headerEntries } from '../../../src/core/headers.ts';
import type { Reply, ReplyListener, Requester } from '../../../src/deliver/ports.ts';
import { replyValue } from '../../../src/deliver/request.ts';
import { deliverStep } from '../../../src/deliver/route.ts';
import { request as target } from '../../../src/deliver/targets/request.ts';
import { OuzelError } from '../../../src/errors.ts';
import { request as transformer } from '../../../src/pipeline/transformers/request.ts';
import { block, bodyText, bytes, eventOf, harness, jsonEvent, outcome, route } from '../core/helpers.ts';
import { RecordingPublisher, targetContext, valuesOf } from './helpers.ts';
import { NO_LOOKUPS } from '../pipeline/helpers.ts';

interface Question {
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeout: number;
  readonly listener: ReplyListener;
}

/** Writes down what it is asked, and answers when it is told to. */
class RecordingRequester implements Requester {
  readonly questions: Question[] = [];

  request(subject: string, headers: string, body: Uint8Array | string, timeout: number, listener: ReplyListener): void {
    const text = typeof body === 'string' ? body : Buffer.from(body).toString();
    this.questions.push({
      subject,
      headers: Object.fromEntries(headerEntries(bytes(headers))),
      body: text,
      timeout,
      listener,
    });
  }

  get last(): Question {
    const last = this.questions.at(-1);
    if (last === undefined) throw new Error('nothing was asked');
    return last;
  }
}

const reply = (body: string | Uint8Array, headers?: Readonly<Record<string, string>>): Reply => ({
  headers: headers === undefined ? undefined : block(headers),
  body: typeof body === 'string' ? bytes(body) : body,
});

function enriching(options: Record<string, unknown>, event: Event = jsonEvent({ customer: 'c-7' })) {
  const requester = new RecordingRequester();
  const step = transformer.compile(
    transformer.options.parse({ subject: 'customers.get', into: 'data.profile', ...options }),
    {
      name: 'profile',
      consumer: 'billing',
      stream: 'EVENTS',
      requester,
      lookups: NO_LOOKUPS,
      bind: (expression) => expression.bind(new Map()),
      bindTemplate: (template) => template.bind(new Map()),
      missing: () => undefined,
      filtered: (reason) => outcome('filtered', reason),
    },
  );
  const made = harness({ steps: [step] });
  made.receive(event);
  return { requester, event, ...made };
}

describe('the transformer', () => {
  it('asks, waits and writes the reply into the event', () => {
    const { requester, event, observer } = enriching({ body: '{{ event.data.customer }}' });
    expect(requester.last).toMatchObject({ subject: 'customers.get', body: 'c-7', timeout: 5000 });
    expect(observer.heard).toEqual([]);
    requester.last.listener.replied(reply('{"name":"Ada"}'));
    expect(observer.heard).toEqual(['delivered']);
    expect(bodyText(event)).toBe('{"customer":"c-7","profile":{"name":"Ada"}}');
  });

  it('sends the event where it is not told what else', () => {
    const { headers, body } = enriching({}).requester.last;
    expect(headers).toMatchObject({
      'ce-type': 'orders.created',
      'Ouzel-Hops': '1',
      'Content-Type': 'application/json',
    });
    expect(headers['Nats-Msg-Id']).toMatch(/^.{22}\./);
    expect(body).toBe('{"customer":"c-7"}');
  });

  it.each<[options: Record<string, unknown>, body: string, type: string | undefined]>([
    [{ body: '{{ event.data }}' }, '{"customer":"c-7"}', 'application/json'],
    [{ body: '{{ [1, 2] }}' }, '[1,2]', 'application/json'],
    [{ body: 'get {{ event.data.customer }}' }, 'get c-7', undefined],
    [{ cloudevents: 'raw' }, '{"customer":"c-7"}', undefined],
    [{ headers: { 'Content-Type': 'text/x' } }, '{"customer":"c-7"}', 'text/x'],
  ])('%j sends %s', (options, body, type) => {
    const { last } = enriching(options).requester;
    expect([last.body, last.headers['Content-Type']]).toEqual([body, type]);
  });

  it('hands the trace of the event on, unless it is told another', () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const event = jsonEvent({}, { headers: { traceparent, tracestate: 'a=1' } });
    expect(enriching({}, event).requester.last.headers).toMatchObject({ traceparent, tracestate: 'a=1' });
    const own = enriching({ headers: { traceparent: 'mine' } }, event).requester.last.headers;
    expect(own).toMatchObject({ traceparent: 'mine' });
    expect(own).not.toHaveProperty('tracestate');
  });

  it('sends a structured CloudEvent', () => {
    const { last } = enriching({ cloudevents: 'structured' }).requester;
    expect(JSON.parse(last.body)).toMatchObject({ specversion: '1.0', data: { customer: 'c-7' } });
  });

  it('fails with what the requester says', () => {
    const { requester, observer } = enriching({});
    requester.last.listener.failed(new OuzelError('TARGET_UNAVAILABLE', 'nobody'));
    expect(observer.heard).toEqual(['retried TARGET_UNAVAILABLE 1000']);
  });

  it('refuses a reply that is too large, or that cannot be written there', () => {
    const large = enriching({ max_reply: '10B' });
    large.requester.last.listener.replied(reply('x'.repeat(11)));
    expect(large.observer.heard).toEqual(['retried TARGET_REJECTED 1000']);
    const below = enriching({ into: 'data.customer.name' });
    below.requester.last.listener.replied(reply('1'));
    expect(below.observer.heard[0]).toBe('dead_lettered expression_error');
  });

  it('puts one token into the subject, or fails', () => {
    const asked = enriching({ subject: 'customers.{{ event.data.customer }}' });
    expect(asked.requester.last.subject).toBe('customers.c-7');
    const evil = enriching({ subject: 'customers.{{ event.data.customer }}' }, jsonEvent({ customer: 'a.>' }));
    expect(evil.requester.questions).toEqual([]);
    expect(evil.observer.heard[0]).toBe('dead_lettered invalid_subject');
  });

  it('a reply that comes after the time-out changes nothing', () => {
    const { requester, consumer, observer } = enriching({});
    consumer.sweep(performance.now() + 60_000);
    requester.last.listener.replied(reply('1'));
    expect(observer.heard).toEqual(['retried TARGET_TIMEOUT 1000']);
  });
});

describe('the value of a reply', () => {
  it.each<[reply: Reply, value: unknown]>([
    [reply(''), null],
    [reply('{"a":1}'), { a: 1 }],
    [reply('{"a":9223372036854775807}'), { a: 9223372036854775807n }],
    [reply('just text'), 'just text'],
    [reply('5', { 'Content-Type': 'text/plain' }), '5'],
    [reply('5', { 'content-type': 'application/json; charset=utf-8' }), 5],
  ])('%# is read by its content type', (each, value) => expect(replyValue(each)).toEqual(value));

  it.each([reply('{"a":', { 'Content-Type': 'application/json' }), reply(Uint8Array.of(255, 254))])(
    '%# is refused where it is not what it says',
    (each) => expect(() => replyValue(each)).toThrow(expect.objectContaining({ code: 'TARGET_REJECTED' }) as Error),
  );
});

function asking(options: Record<string, unknown>, event: Event = jsonEvent({ id: 'o-1' })) {
  const requester = new RecordingRequester();
  const publisher = new RecordingPublisher();
  const made = target.prepare(
    target.options.parse({ subject: 'orders.check', ...options }),
    targetContext({ requester, publisher }),
  );
  const deliver = made.deliver.bind(made);
  const consumer = harness({ steps: [deliverStep([route('r', deliver)], outcome('filtered'))] });
  consumer.receive(event);
  return { requester, publisher, ...consumer };
}

describe('the target', () => {
  it('is confirmed by the reply, whatever it says', () => {
    const { requester, observer, publisher } = asking({});
    expect(observer.heard).toEqual([]);
    requester.last.listener.replied(reply('anything'));
    expect(observer.heard).toEqual(['delivered']);
    expect(publisher.publications).toEqual([]);
  });

  it('publishes the reply as a new event, and is confirmed when that is stored', () => {
    const subject = 'checks.{{ event.data.id }}';
    const { requester, observer, publisher } = asking({
      reply: { publish: { subject, headers: { 'X-Order': '{{ event.data.id }}' } } },
    });
    requester.last.listener.replied(
      reply('{"ok":true}', { 'Content-Type': 'application/x+json', 'Nats-Rollup': 'all' }),
    );
    const { last } = publisher;
    expect(last).toMatchObject({ subject: 'checks.o-1', body: '{"ok":true}', timeout: 5000 });
    expect(valuesOf(last)).toEqual({
      'Nats-Msg-Id': `${requester.last.headers['Nats-Msg-Id']}.reply`,
      'Ouzel-Hops': '1',
      'Content-Type': 'application/x+json',
      'X-Order': 'o-1',
    });
    expect(observer.heard).toEqual([]);
    last.listener?.confirmed(false);
    expect(observer.heard).toEqual(['delivered']);
  });

  it('asks nobody where the reply could not be published', () => {
    const { requester, observer } = asking({ reply: { publish: { subject: 'checks.{{ event.data.none }}' } } });
    expect(requester.questions).toEqual([]);
    expect(observer.heard[0]).toBe('dead_lettered missing_field');
  });

  it('asks nobody about an event that went round too often', () => {
    const { requester, observer } = asking({}, eventOf('{}', { headers: { 'Ouzel-Hops': '8' } }));
    expect(requester.questions).toEqual([]);
    expect(observer.heard[0]).toBe('dead_lettered too_many_hops');
  });

  it('fails where the request does, or where the reply cannot be stored', () => {
    const first = asking({});
    first.requester.last.listener.failed(new OuzelError('TARGET_REJECTED', 'no'));
    expect(first.observer.heard).toEqual(['retried TARGET_REJECTED 1000']);
    const second = asking({ reply: { publish: { subject: 'checks' } } });
    second.requester.last.listener.replied(reply('1'));
    second.publisher.last.listener?.failed(new OuzelError('TARGET_NO_STREAM', 'no stream'));
    expect(second.observer.heard).toEqual(['retried TARGET_NO_STREAM 1000']);
  });
});
