/** What is wrong with a request, as RFC 9457 has it. The one place that says which status an error is answered with. */
import { STATUS_CODES } from 'node:http';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { ConfigError, type ConfigProblem } from '../config/problems.ts';
import { InvalidEvent } from '../contracts/cloudevents-http.ts';
import { asOuzelError, type ErrorCode, type OuzelError } from '../errors.ts';
import { isConditional } from './conditions.ts';

const problemPlace = z.strictObject({
  file: z.string().describe('`fleet:<section>/<name>` for a resource.'),
  line: z.number().int().min(1),
  column: z.number().int().min(1),
});

const configProblem = z
  .strictObject({
    code: z.string(),
    message: z.string(),
    hint: z.string().optional().describe('What was expected, what was meant, or what to do.'),
    path: z.string().describe('`consumers.billing.deliver[0].to`, or empty.'),
    place: problemPlace.optional(),
    excerpt: z.string().optional().describe('The line, and under it a caret.'),
  })
  .meta({ id: 'ConfigProblem', description: 'One thing that is wrong with a configuration, and where it stands.' });

/** The body of every answer that is an error. */
export const problemSchema = z
  .strictObject({
    type: z.string().describe('`about:blank`: the code says more.'),
    title: z.string().describe('The name of the status.'),
    status: z.number().int(),
    code: z.string().describe('A code of the registry of errors (docs/reference/errors.md).'),
    detail: z
      .string()
      .describe('What is wrong and what to do, for a person; with places and carets for a configuration.'),
    errors: z
      .array(
        z.strictObject({
          pointer: z.string().optional().describe('A place in the body: a JSON pointer (RFC 6901).'),
          header: z.string().optional().describe('The header that it is about.'),
          detail: z.string(),
        }),
      )
      .optional()
      .describe('Everything that is wrong with an event.'),
    problems: z.array(configProblem).optional().describe('Everything that is wrong with a configuration.'),
  })
  .meta({ id: 'Problem', description: 'Problem details (RFC 9457).' });

export type Problem = z.input<typeof problemSchema>;

/** What is not said by the kind of an error alone. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  USAGE: 400,
  NOT_FOUND: 404,
  CONFIG_OWNED_BY_FILE: 409,
  CONFLICT: 409,
  TARGET_TOO_LARGE: 413,
  // The change itself cannot be: the server is there, and has something else.
  STREAM_NOT_FOUND: 422,
  STREAM_REFUSED: 422,
  DURABLE_FOREIGN: 422,
  DURABLE_REFUSED: 422,
  TARGET_NO_STREAM: 422,
  TARGET_REJECTED: 422,
};
const UNPROCESSABLE = 422;
const UNAVAILABLE = 503;

/** The status that an error is answered with. */
function statusOfError(error: OuzelError): number {
  const known = STATUS[error.code];
  if (known !== undefined) return known;
  if (error instanceof ConfigError || /^(?:CONFIG|EVENT)_/.test(error.code)) return UNPROCESSABLE;
  return error.kind === 'unavailable' ? UNAVAILABLE : 500;
}

const titleOf = (status: number): string => STATUS_CODES[status] ?? 'Error';

/** Answers with problem details; `code` is one of the registry, or says what HTTP itself found wrong. */
export const sendProblem = (
  reply: FastifyReply,
  status: number,
  code: string,
  detail: string,
  more: Pick<Problem, 'problems' | 'errors'> = {},
): FastifyReply =>
  reply
    .code(status)
    .type('application/problem+json')
    .send(JSON.stringify({ type: 'about:blank', title: titleOf(status), status, code, detail, ...more }));

/** What HTTP itself finds wrong with a request. */
export class HttpError extends Error {
  readonly statusCode: number;
  readonly problem: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(statusCode: number, message: string, problem = 'USAGE', headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.statusCode = statusCode;
    this.problem = problem;
    this.headers = headers;
  }
}

/** Answers with whatever was thrown. */
export function sendError(reply: FastifyReply, error: unknown): FastifyReply {
  // Fastify's own are of the same form: a body that is too large, or cut off.
  const { statusCode, message } = error as { statusCode?: number; message: string };
  if (error instanceof HttpError)
    return sendProblem(reply.headers(error.headers), error.statusCode, error.problem, message);
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return sendProblem(reply, statusCode, 'USAGE', message);
  const own = asOuzelError(error);
  const problems = own instanceof ConfigError ? { problems: own.problems.map(shownProblem) } : {};
  const errors = own instanceof InvalidEvent ? { errors: own.problems.map((each) => ({ ...each })) } : {};
  // What the request itself asked for does not hold.
  const status = own.code === 'CONFLICT' && isConditional(reply.request) ? 412 : statusOfError(own);
  return sendProblem(reply, status, own.code, own.message, { ...problems, ...errors });
}

function shownProblem({ code, message, hint, path, place, excerpt }: ConfigProblem): z.input<typeof configProblem> {
  return {
    code,
    message,
    path,
    ...(hint === undefined ? {} : { hint }),
    ...(place === undefined ? {} : { place }),
    ...(excerpt === undefined
      ? {}
      : { excerpt: `${excerpt.text}\n${' '.repeat(excerpt.indent)}${'^'.repeat(excerpt.width)}` }),
  };
}
