/** An explanation for people: a block a stage, in the one order of stages, within the width of the terminal. */
import { fit, paint, type Paint, type Style, wrap } from '../cli/terminal.ts';
import { formatDuration } from '../config/fields.ts';
import { stringifyJson } from '../core/json.ts';
import type { Answer, Clause } from '../expression/explain.ts';
import type { Change } from './changes.ts';
import type { EventShown, Explanation, Failed, OutcomeShown, RouteShown, Sent, StageShown } from './explanation.ts';

/** Columns of the stages' names. */
const LABEL = 11;
/** Lines of a body, and changes of one transformer, at most. */
const MAX_BODY_LINES = 8;
const MAX_CHANGES = 40;
/** Headers that say nothing which stands elsewhere already are left out of what people read. */
const DEPTH = 2;

const LABELS: Readonly<Record<StageShown['stage'], string>> = {
  own_incidents: 'concerns',
  types: 'types',
  upcast: 'upcast',
  schema: 'schema',
  filter: 'filter',
  priority: 'priority',
  admit: 'admit',
  in_flight: 'in flight',
  transformer: 'transform',
  expire: 'expire',
  dedupe: 'dedupe',
  count: 'count',
  debounce: 'debounce',
  order: 'order',
  gate: 'instance',
  delay: 'delay',
  rate_limit: 'rate limit',
  throttle: 'throttle',
  group: 'group',
  deliver: 'deliver',
};

/** The text of an explanation, each line within the width. */
export function renderExplanation(explanation: Explanation, style: Style): string {
  const page = new Page(style);
  page.decode(explanation.event);
  if (explanation.lane !== undefined) page.lane(explanation.lane);
  for (const stage of explanation.stages) page.stage(stage);
  page.outcome(explanation);
  return page.text();
}

const json = (value: unknown): string => {
  try {
    return stringifyJson(value);
  } catch {
    return String(value);
  }
};

class Page {
  readonly #style: Style;
  readonly #lines: string[] = [];
  /** What stands in front of the next line, once. */
  #label = '';

  constructor(style: Style) {
    this.#style = style;
  }

  text(): string {
    return this.#lines.join('\n');
  }

  decode(event: EventShown): void {
    this.#begin('decode');
    this.#row(0, '', `${event.stream}:${event.sequence} on ${event.subject}, ${event.size} bytes`);
    if (event.error !== undefined) return this.#failed(0, event.error);
    for (const name of ['id', 'type', 'source', 'subject', 'time', 'datacontenttype', 'dataschema']) {
      const value = event.attributes?.[name];
      if (value !== undefined) this.#field(name, value);
    }
    for (const [name, value] of Object.entries(event.extensions ?? {})) this.#field(`ext.${name}`, json(value));
    if (event.key !== undefined) this.#field('key', event.key);
    if (event.dataError !== undefined) this.#failed(0, event.dataError);
    else this.#field('data', json(event.data));
  }

  lane({ name, weight }: NonNullable<Explanation['lane']>): void {
    this.#begin('lane');
    this.#row(0, '', `${name}, weight ${weight}`);
  }

  stage(stage: StageShown): void {
    this.#begin(LABELS[stage.stage]);
    const mark = stage.result === 'failed' ? '!' : stage.result === 'ended' ? '✗' : '✓';
    const { component, name, condition } = stage;
    switch (stage.stage) {
      case 'own_incidents':
        this.#row(0, mark, stage.result === 'ended' ? 'an incident of this consumer itself' : 'somebody else');
        break;
      case 'types':
        this.#row(0, mark, `${stage.result === 'ended' ? 'none of' : 'one of'} ${(stage.types ?? []).join(', ')}`);
        break;
      case 'upcast':
      case 'schema':
        this.#version(stage, mark);
        break;
      case 'admit':
        this.#row(0, mark, stage.says ?? `at most ${stage.max} at once`);
        break;
      case 'priority':
      case 'in_flight':
      case 'dedupe':
      case 'count':
      case 'debounce':
      case 'expire':
      case 'rate_limit':
      case 'order':
      case 'gate':
      case 'delay':
      case 'throttle':
      case 'group':
        this.#row(0, mark, stage.says ?? name);
        break;
      case 'deliver':
        if (stage.error !== undefined) this.#row(0, mark, 'a condition has no value');
        else if ((stage.routes ?? []).every(({ taken }) => !taken)) this.#row(0, mark, 'no route is taken');
        for (const route of stage.routes ?? []) this.#route(route);
        break;
      case 'filter':
        if (condition !== undefined && isChain(condition)) this.#clause(condition, 0, `${name}: `);
        else this.#row(0, mark, name);
        if (condition !== undefined && !isChain(condition)) this.#clause(condition, 1);
        break;
      case 'transformer':
        this.#row(0, mark, name === component ? name : `${name}: ${component}`);
        if (stage.asked === undefined) this.#changes(stage.changes ?? [], stage.result);
        else this.#asked(stage.asked);
        break;
    }
    if (stage.error !== undefined) this.#failed(1, stage.error);
  }

  outcome({ outcome, consumer }: Explanation): void {
    this.#begin('settle');
    const { kind, reason, route } = outcome;
    const how: Paint =
      kind === 'delivered' ? 'green' : kind === 'dead_lettered' || kind === 'retried' ? 'red' : 'yellow';
    const name = kind === 'not_taken' ? 'not taken' : kind === 'retried' ? 'tried again' : kind;
    this.#row(0, '', `${name}${reason === '' ? '' : `, reason ${reason}`}`, how, name);
    if (route !== undefined) this.#row(0, '', `by the route ${route}`);
    for (const line of meaning(outcome, consumer)) this.#row(0, '', line);
    this.#row(0, '', 'A dry run: nothing was delivered, and nothing acked.', 'dim');
  }

  #version({ stage, version, result, changes = [] }: StageShown, mark: string): void {
    if (version === null || version === undefined)
      return this.#row(0, mark, version === null ? 'nothing is known of this type' : 'its version cannot be told');
    const { type, came = 0, newest = 0, schema } = version;
    if (stage === 'schema')
      return this.#row(0, mark, `${type} ${result === 'failed' ? 'does not fit' : 'fits'} ${schema ?? 'its schema'}`);
    const isOld = result === 'passed' && came < newest;
    const known = came > newest ? `newer than ${newest}` : came === newest ? 'the newest' : `made ${newest}`;
    this.#row(0, mark, `${type} version ${came}${result === 'failed' ? '' : `, ${known}`}`);
    if (isOld) this.#changes(changes, result);
  }

  #route(route: RouteShown): void {
    const { name, target, taken, why, stoppedBy, condition, sent } = route;
    const as = name === target ? name : `${name} (${target})`;
    const because = {
      always: '',
      when: '',
      else: taken ? ': no other route was taken' : ': only where no other route is taken',
      stopped: `: not looked at, ${stoppedBy ?? ''} stops`,
    }[why];
    const mark = sent?.error !== undefined ? '!' : taken ? '→' : '–';
    this.#row(0, mark, as + because);
    if (condition !== undefined && why !== 'stopped') this.#clause(condition, 1);
    if (route.throttle !== undefined && taken) this.#row(1, '', route.throttle);
    if (sent === undefined) return;
    if (sent.error !== undefined) return this.#failed(1, sent.error);
    if (sent.action === 'no preview')
      return this.#row(1, '', 'this kind of target cannot show what it would send', 'dim');
    this.#sent(sent);
  }

  #sent({ action, headers = [], body = '', size = 0 }: Sent): void {
    this.#row(1, '', action);
    for (const [header, value] of headers) this.#row(2, '', `${header}: ${value}`, 'dim', undefined, true);
    this.#body(body, size);
  }

  #asked(asked: Sent): void {
    this.#sent(asked);
    this.#row(1, '', 'nobody was asked: what follows is without the reply', 'yellow');
  }

  #body(body: string, size: number): void {
    if (size === 0) return;
    const lines = wrap(body.slice(0, MAX_BODY_LINES * this.#style.width), this.#room(2));
    for (const line of lines.slice(0, MAX_BODY_LINES)) this.#row(2, '', line);
    if (lines.length > MAX_BODY_LINES || body.length > MAX_BODY_LINES * this.#style.width)
      this.#row(2, '', `… ${size} bytes in all`, 'dim');
  }

  #changes(changes: readonly Change[], result: StageShown['result']): void {
    if (changes.length === 0 && result === 'passed') this.#row(1, '', 'no change', 'dim');
    for (const { op, path, before, after } of changes.slice(0, MAX_CHANGES)) {
      if (op === 'add') this.#row(1, '+', `${path} = ${json(after)}`, 'green', undefined, true);
      else if (op === 'remove') this.#row(1, '-', `${path} = ${json(before)}`, 'red', undefined, true);
      else this.#change(path, json(before), json(after));
    }
    if (changes.length > MAX_CHANGES) this.#row(1, '', `… ${changes.length - MAX_CHANGES} more`, 'dim');
  }

  /** Both values on one line where they fit, else one under the other. */
  #change(path: string, before: string, after: string): void {
    const line = `${path} = ${before} → ${after}`;
    if (line.length + 2 <= this.#room(1)) return this.#row(1, '~', line, 'yellow');
    this.#row(1, '~', `${path} = ${before}`, 'yellow', undefined, true);
    this.#row(1, '', `${' '.repeat(Math.min(path.length, 20))} → ${after}`, 'yellow', undefined, true);
  }

  /** @param before What stands in front of it: the name of the filter that it is. */
  #clause(clause: Clause, depth: number, before = ''): void {
    const { kind, text, value, clauses, reads, decisive } = clause;
    const [inner] = clauses;
    // A named filter that is a chain needs no line of its own beside it.
    if (kind === 'filter' && inner !== undefined && isChain(inner))
      return this.#clause({ ...inner, decisive }, depth, `${before}${text}: `);
    const dim = decisive ? undefined : 'dim';
    const said = outcomeOf(clause);
    this.#row(depth, markOf(clause), `${before}${CHAINS[kind] ?? text}${said === '' ? '' : `  ${said}`}`, dim);
    for (const { text: read, ...answer } of reads) {
      if (read === text && value !== undefined) continue;
      if (answer.fault?.kind === 'evaluation' && answer.fault.message === clause.fault?.message) continue;
      this.#row(depth + 1, '', `${read} ${shownAnswer(answer)}`, 'dim', undefined, true);
    }
    for (const each of clauses) this.#clause(each, depth + 1);
  }

  #failed(depth: number, { code, message, place }: Failed): void {
    this.#row(depth, '', `${code}${place === undefined ? '' : ` at ${place}`}`, 'red', code);
    this.#row(depth, '', message);
  }

  #field(name: string, value: string): void {
    this.#row(0, '', `${name.padEnd(8)} ${value}`, undefined, undefined, true);
  }

  #begin(label: string): void {
    if (this.#lines.length > 0) this.#lines.push('');
    this.#label = label;
  }

  #room(depth: number): number {
    return Math.max(10, this.#style.width - LABEL - depth * DEPTH);
  }

  /**
   * @param only The part of the text that is painted; default: all of it.
   * @param single Cut to one line instead of going on in the next.
   */
  #row(depth: number, mark: string, text: string, how?: Paint, only?: string, single = false): void {
    const room = this.#room(depth) - (mark === '' ? 0 : 2);
    const lines = single ? [fit(text, room)] : wrap(text, room);
    for (const [index, line] of lines.entries()) {
      const label = paint(this.#style, 'bold', this.#label) + ' '.repeat(LABEL - this.#label.length);
      const front = mark === '' ? '' : index === 0 ? `${paint(this.#style, MARKS[mark] ?? 'dim', mark)} ` : '  ';
      const body = how === undefined ? line : line.replace(only ?? line, (part) => paint(this.#style, how, part));
      this.#lines.push(`${label}${' '.repeat(depth * DEPTH)}${front}${body}`.trimEnd());
      this.#label = '';
    }
  }
}

/** A chain says no more than its clauses do, but for the whole of it. */
const CHAINS: Partial<Record<Clause['kind'], string>> = { all: 'all of', any: 'any of' };

const isChain = ({ kind }: Clause): boolean => CHAINS[kind] !== undefined;

const MARKS: Readonly<Record<string, Paint>> = {
  '✓': 'green',
  '→': 'green',
  '+': 'green',
  '✗': 'red',
  '!': 'red',
  '-': 'red',
  '~': 'yellow',
};

function markOf({ value, fault }: Clause): string {
  if (value === true) return '✓';
  if (value === false || fault?.kind === 'missing_field') return '✗';
  return '!';
}

/** What a clause has to say beyond true and false. */
function outcomeOf({ value, fault, reads, clauses }: Clause): string {
  if (typeof value === 'boolean') return '';
  if (fault === undefined) return `is ${json(value ?? null)}, not true or false`;
  // What a part of it shows below needs no words here.
  if (clauses.some((part) => part.fault !== undefined)) return '';
  if (fault.kind === 'missing_field')
    return reads.some((part) => part.fault?.kind === 'missing_field') ? '' : `(${fault.message})`;
  return `(${fault.message}${fault.value === undefined ? '' : `: ${json(fault.value)}`})`;
}

function shownAnswer({ value, fault }: Answer): string {
  if (fault === undefined) return value === undefined ? 'is empty' : `= ${json(value)}`;
  return fault.kind === 'missing_field' ? 'is not there' : `has no value: ${fault.message}`;
}

/** What an outcome means for the event. */
function meaning({ kind, reason, explanation, attempts, delay }: OutcomeShown, consumer: string): string[] {
  if (kind === 'not_taken') return [`${consumer} never sees it: ${explanation ?? reason}`];
  if (kind === 'retried')
    return [
      `${attempts} attempts, the second after ${formatDuration(delay ?? 0)}; then a dead letter with the reason ${reason}`,
    ];
  if (kind === 'dead_lettered') return [`kept as a dead letter, on ouzel.dlq.${consumer}`];
  if (kind === 'filtered' && reason === 'missing_field') return ['a field that is not there makes a condition false'];
  return [];
}
