/** What is wrong with a request, as RFC 9457 has it. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { z } from 'zod';
import { asOuzelError, type ErrorCode, OuzelError } from '../errors.ts';

const STATUS: Partial<Record<ErrorCode, number>> = { USAGE: 400, NOT_FOUND: 404 };
const UNAVAILABLE = 503;
const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  413: 'Payload Too Large',
  415: 'Unsupported Media Type',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** Answers with problem details; `code` is one of the registry, or says what HTTP itself found wrong. */
export const sendProblem = (reply: FastifyReply, status: number, code: string, detail: string): FastifyReply =>
  reply
    .code(status)
    .type('application/problem+json')
    .send(JSON.stringify({ type: 'about:blank', title: TITLES[status] ?? 'Error', status, code, detail }));

/** Lets every error of these routes be answered so. */
export function answerProblems(app: FastifyInstance): void {
  app.setErrorHandler((error, _request, reply) => {
    const { statusCode, message } = error as { statusCode?: number; message: string };
    // Fastify's own: a body that is no JSON, or too large.
    if (!(error instanceof OuzelError) && statusCode !== undefined && statusCode < 500)
      return sendProblem(reply, statusCode, 'USAGE', message);
    const own = asOuzelError(error);
    const status = STATUS[own.code] ?? (own.kind === 'unavailable' ? UNAVAILABLE : 500);
    return sendProblem(reply, status, own.code, own.message);
  });
}

/** What was sent, as the schema has it. @throws OuzelError USAGE that names the field */
export function validated<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const [issue] = error.issues;
  const field = issue?.path.join('.') ?? '';
  throw new OuzelError('USAGE', `${field === '' ? '' : `${field}: `}${issue?.message ?? 'not valid'}`);
}
