/** Ports that write down what they are told, and answer at once unless they are told otherwise. */
import type { AttemptRecord } from '../../../src/core/attempts.ts';
import type { Outcome } from '../../../src/core/plan.ts';
import type {
  Acknowledger,
  AttemptStore,
  AuditTrail,
  DeadLetterStore,
  Done,
  Keepsake,
  Observer,
  Parking,
  TimerKind,
} from '../../../src/core/ports.ts';
import type { Failure, Run } from '../../../src/core/run.ts';

export type Answer = readonly ['ack' | 'nak' | 'working', reply: string, delay?: number];

/** Writes down what the server is told. */
export class RecordingAcks implements Acknowledger {
  readonly answers: Answer[] = [];

  ack(reply: Uint8Array): void {
    this.answers.push(['ack', Buffer.from(reply).toString()]);
  }

  nak(reply: Uint8Array, delay: number): void {
    this.answers.push(['nak', Buffer.from(reply).toString(), delay]);
  }

  /** Whether there is a server to tell. */
  connected = true;

  working(reply: Uint8Array): boolean {
    if (this.connected) this.answers.push(['working', Buffer.from(reply).toString()]);
    return this.connected;
  }

  /** The answers that end an event. */
  get final(): Answer[] {
    return this.answers.filter(([verb]) => verb !== 'working');
  }
}

export interface Letter {
  readonly run: Run;
  readonly failure: Failure;
  readonly reason: string;
  readonly done: (error?: Error) => void;
}

/** Keeps dead letters, and answers when it is told to. */
export class RecordingLetters implements DeadLetterStore {
  readonly letters: Letter[] = [];
  /** What `store` does beside writing it down. */
  answer: (letter: Letter) => void = ({ done }) => done();

  /** Numbers of the letters that were taken away. */
  readonly removed: number[] = [];

  store(run: Run, failure: Failure, reason: string, done: (error?: Error) => void): void {
    const letter = { run, failure, reason, done };
    this.letters.push(letter);
    this.answer(letter);
  }

  remove(sequence: number, done: Done): void {
    this.removed.push(sequence);
    done();
  }
}

/** Keeps records by the number of the event, and answers at once unless told otherwise. */
export class RecordingAttempts implements AttemptStore {
  readonly records = new Map<number, AttemptRecord>();
  /** Everything that was put, in order. */
  readonly puts: AttemptRecord[] = [];
  readonly removed: number[] = [];
  /** What `get` and `put` answer with. */
  error: Error | undefined;

  get(run: Run, done: (error: Error | undefined, record?: AttemptRecord) => void): void {
    if (this.error === undefined) done(undefined, this.records.get(run.sequence));
    else done(this.error);
  }

  put(run: Run, record: AttemptRecord, done: Done): void {
    this.puts.push(record);
    if (this.error !== undefined) return done(this.error);
    this.records.set(run.sequence, record);
    done();
  }

  remove(run: Run): void {
    this.removed.push(run.sequence);
    this.records.delete(run.sequence);
  }
}

export interface Parked {
  readonly run: Run;
  readonly record: AttemptRecord;
  readonly kind: TimerKind;
}

export class RecordingParking implements Parking {
  readonly parked: Parked[] = [];
  error: Error | undefined;

  park(run: Run, record: AttemptRecord, kind: TimerKind, done: Done): void {
    if (this.error === undefined) this.parked.push({ run, record, kind });
    done(this.error);
  }
}

/** Writes down what it is told, and holds on to it where it is required. */
export class RecordingTrail implements AuditTrail {
  mode: AuditTrail['mode'] = 'off';
  readonly outcomes: { readonly run: Run; readonly outcome: Outcome }[] = [];
  readonly attempts: string[] = [];

  outcome(run: Run, outcome: Outcome): void {
    this.outcomes.push({ run, outcome });
  }

  attempt(_run: Run, { error: { code } }: Failure, delay: number): void {
    this.attempts.push(`${code} ${delay}`);
  }
}

export class RecordingObserver implements Observer {
  readonly heard: string[] = [];
  readonly attempts: number[] = [];

  retried(run: Run, { error: { code } }: Failure, delay: number): void {
    this.attempts.push(run.attempt);
    this.heard.push(`retried ${code} ${delay}`);
  }

  deadLettered(run: Run, _failure: Failure, reason: string): void {
    this.attempts.push(run.attempt);
    this.heard.push(`dead_lettered ${reason}`);
  }

  refused(_run: Run, what: Keepsake, { message }: Error, delay: number): void {
    this.heard.push(`refused ${what}: ${message} ${delay}`);
  }

  settled(_run: Run, { kind, reason }: Outcome): void {
    this.heard.push(reason === '' ? kind : `${kind} ${reason}`);
  }
}
