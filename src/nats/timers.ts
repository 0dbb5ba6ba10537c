/** What waits: the stream OUZEL_TIMERS, its timers, and what is due. */
import { RetentionPolicy, type StreamConfig } from '@nats-io/jetstream';

export const TIMER_STREAM = 'OUZEL_TIMERS';
export const TIMER_SUBJECTS = ['ouzel.timer.>', 'ouzel.due.*'];

/** What is due for a consumer: timers that fired, and what was handed to it at once. */
export const dueSubject = (consumer: string): string => `ouzel.due.${consumer}`;

/** A timer that waits. @param hash Unique for the event, its run and its attempt: a timer is never replaced. */
export const timerSubject = (consumer: string, kind: 'retry', hash: string): string =>
  `ouzel.timer.${consumer}.${kind}.${hash.replaceAll('.', '_')}`;

/** The stream's configuration beside its name and subjects. What was due goes with its ack; what waits stays. */
export const TIMER_STREAM_OPTIONS: Partial<StreamConfig> = {
  retention: RetentionPolicy.Workqueue,
  allow_msg_schedules: true,
  allow_rollup_hdrs: true,
};
