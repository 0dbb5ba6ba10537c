/** Dead letters as JSON, the same from the commands and the API. */
import type { OuzelError } from '../errors.ts';
import type { DiscardReport } from './discard.ts';
import type { Followed } from './follow.ts';
import type { DeadLetter } from './read.ts';
import type { RedriveReport } from './redrive.ts';

/** The facts of a letter, without its event. */
export function letterFacts(
  letter: DeadLetter,
): Readonly<Record<string, string | number | readonly string[] | undefined>> {
  return {
    sequence: letter.sequence,
    consumer: letter.consumer,
    routes: letter.routes,
    reason: letter.reason,
    error: letter.error,
    attempts: letter.attempts,
    stream: letter.stream,
    subject: letter.subject,
    event_sequence: letter.eventSequence,
    time: letter.time,
    first_failed: letter.firstFailed,
    failed: letter.failed,
    key: letter.key,
    run: letter.run,
    trace_id: letter.traceId,
  };
}

/** A letter in a list: with the size of its body in bytes, where that is not stored apart. */
export const letterSummary = (letter: DeadLetter): Readonly<Record<string, unknown>> => ({
  ...letterFacts(letter),
  ...(letter.bodyName === undefined ? { size: letter.body.length } : { body_apart: true }),
});

/** A whole letter, which must be complete. */
export const letterWhole = (letter: DeadLetter): Readonly<Record<string, unknown>> => ({
  ...letterFacts(letter),
  message_id: letter.messageId,
  headers: letter.headers,
  ...jsonBody(letter.body),
});

/** Text as text; what is no UTF-8 as Base64, under the name that CloudEvents has for it. */
function jsonBody(body: Uint8Array): { body: string } | { body_base64: string } {
  const text = Buffer.from(body).toString();
  return Buffer.from(text).equals(body) ? { body: text } : { body_base64: Buffer.from(body).toString('base64') };
}

const stoppedJson = (stopped: OuzelError | 'interrupted' | undefined) => {
  if (stopped === undefined) return {};
  return {
    stopped: stopped === 'interrupted' ? { code: 'interrupted' } : { code: stopped.code, message: stopped.message },
  };
};

/** @param followed What became of them, where that was waited for. */
export const redriveJson = (report: RedriveReport, followed?: Followed): Readonly<Record<string, unknown>> => ({
  selected: report.selected,
  more: report.more,
  groups: report.groups,
  handed_over: report.handedOver,
  underway: report.underway,
  gone: report.gone,
  failed: report.failed,
  failures: report.failures,
  mended: report.mended,
  ...stoppedJson(report.stopped),
  ...(followed === undefined
    ? {}
    : {
        outcome: {
          done: followed.ended,
          came_back: followed.cameBack,
          open: followed.open,
          groups: followed.groups.list(),
        },
      }),
});

export const discardJson = (report: DiscardReport): Readonly<Record<string, unknown>> => ({
  selected: report.selected,
  more: report.more,
  groups: report.groups,
  discarded: report.discarded,
  underway: report.underway,
  gone: report.gone,
  ...stoppedJson(report.stopped),
});
