/**
 * A route of the API, said once: what it takes, who may ask, and what it answers. The checks of a request, the types of
 * its handler and the OpenAPI document are all made of this, so that they cannot disagree.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { parseJson, stringifyJson } from '../core/json.ts';
import { OuzelError } from '../errors.ts';
import type { Needs, RequestActor } from './auth/needs.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The types of body that a route of the API reads. */
    media?: readonly string[];
  }
}

/** Where the API is, before every path. */
export const API = '/api/v1';

/** Bodies that are read as JSON; any other is taken as text. */
const JSON_MEDIA = /^application\/(?:[\w.-]+\+)?json$/;
const isJsonMedia = (media: string): boolean => JSON_MEDIA.test(media);

export interface BodySpec<Schema extends z.ZodType = z.ZodType> {
  readonly description: string;
  /** Checked where the body is JSON. What is text is for the handler to read. */
  readonly schema: Schema;
  /** Of single types, where these say different things. */
  readonly schemas?: Readonly<Record<string, z.ZodType>>;
  /** Default: application/json. */
  readonly media?: readonly string[];
  /** Default: yes. */
  readonly required?: boolean;
  readonly examples?: Readonly<Record<string, { readonly media: string; readonly value: unknown }>>;
}

/** Headers of an answer, by name, with what they say. */
type HeaderSpecs = Readonly<Record<string, string>>;

export interface AnswerSpec<Schema extends z.ZodType = z.ZodType> {
  readonly description: string;
  /** Undefined: there is no body. */
  readonly schema?: Schema;
  /** Default: application/json. */
  readonly media?: string;
  readonly headers?: HeaderSpecs;
  readonly example?: unknown;
}

type Answers = Readonly<Record<number, AnswerSpec>>;

/** What a handler answers: one of the answers that its route has. */
type AnswerOf<Specs extends Answers> = {
  [Status in keyof Specs]: {
    readonly status: Status;
    readonly headers?: Readonly<Record<string, string>>;
  } & (Specs[Status] extends { readonly schema: infer Schema extends z.ZodType }
    ? { readonly body: z.input<Schema> }
    : { readonly body?: undefined });
}[keyof Specs];

/** A request that was checked. */
export interface ApiRequest<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** The body as it came; undefined where there is none. */
  readonly text: string | undefined;
  /** Of the body, without parameters: `application/json`. */
  readonly media: string | undefined;
  readonly actor: RequestActor;
  readonly raw: FastifyRequest;
  readonly reply: FastifyReply;
}

/** Errors that a route may answer with, beside those that any can. */
export type ProblemStatus = 404 | 409 | 412 | 413 | 422 | 503 | 504;

interface Definition<
  Params extends z.ZodObject,
  Query extends z.ZodObject,
  Body extends z.ZodType,
  Specs extends Answers,
> {
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  /** Below {@link API}, with parameters as `{name}`. */
  readonly path: string;
  /** The same for the router, where a parameter must look like one to be one. */
  readonly router?: string;
  /** Groups routes in the document. */
  readonly tag: string;
  /** What it does, in a line. Its first words are the operation's name. */
  readonly summary: string;
  readonly id: string;
  readonly description?: string;
  readonly needs: Needs;
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: BodySpec<Body>;
  /** Whether `If-Match` and `If-None-Match: *` are obeyed. */
  readonly conditional?: boolean;
  readonly answers: Specs;
  readonly problems?: readonly ProblemStatus[];
  /** Bytes of a body, at most. */
  readonly bodyLimit?: number;
  readonly handler: (
    request: ApiRequest<z.output<Params>, z.output<Query>, z.output<Body>>,
  ) => Promise<AnswerOf<Specs> | typeof ANSWERED>;
}

/** The handler has answered by itself: a stream. */
export const ANSWERED = Symbol('answered');

/** A route, for the server and the document. */
export interface ApiRoute extends Omit<
  Definition<z.ZodObject, z.ZodObject, z.ZodType, Answers>,
  'handler' | 'params' | 'query' | 'body'
> {
  readonly params: z.ZodObject;
  readonly query: z.ZodObject;
  readonly body: BodySpec | undefined;
  readonly handle: (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>;
}

/** Makes a route. */
export function defineRoute<
  const Params extends z.ZodObject,
  const Query extends z.ZodObject,
  const Body extends z.ZodType,
  const Specs extends Answers,
>(definition: Definition<Params, Query, Body, Specs>): ApiRoute {
  const { handler, ...rest } = definition;
  const params = definition.params ?? z.strictObject({});
  const query = definition.query ?? z.strictObject({});
  const { body } = definition;
  return {
    ...rest,
    params,
    query,
    body,
    async handle(request, reply) {
      const { media, text } = bodyOf(request);
      const answer = await handler({
        params: checked(params, request.params) as z.output<Params>,
        query: checked(query, request.query) as z.output<Query>,
        body: checkedBody(body, media, text) as z.output<Body>,
        text,
        media,
        actor: request.actor,
        raw: request,
        reply,
      });
      if (answer === ANSWERED) return reply;
      const {
        status,
        headers = {},
        body: content,
      } = answer as {
        status: number;
        headers?: Readonly<Record<string, string>>;
        body?: unknown;
      };
      reply.code(status).headers(headers);
      if (content === undefined) return reply.send();
      return sendJson(reply, definition.answers[status]?.media ?? 'application/json', content);
    },
  };
}

/** The body as the content type parser leaves it. */
export interface ReceivedBody {
  readonly media: string;
  readonly text: string;
}

const bodyOf = ({ body }: FastifyRequest): Partial<ReceivedBody> => (body as ReceivedBody | undefined) ?? {};

function checkedBody(spec: BodySpec | undefined, media: string | undefined, text: string | undefined): unknown {
  if (spec === undefined) {
    if (text !== undefined) throw new OuzelError('USAGE', 'this takes no body');
    return undefined;
  }
  if (text === undefined || media === undefined) {
    if (spec.required ?? true) throw new OuzelError('USAGE', 'the body is missing');
    return checked(spec.schema, {});
  }
  if (!isJsonMedia(media)) return text;
  return checked(spec.schemas?.[media] ?? spec.schema, jsonOf(text));
}

/** @throws OuzelError USAGE */
function jsonOf(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw new OuzelError('USAGE', `the body is ${(error as Error).message}`, { cause: error });
  }
}

/** What was sent, as the schema has it. @throws OuzelError USAGE that names the field */
export function checked<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const [issue] = error.issues;
  const field = issue?.path.join('.') ?? '';
  throw new OuzelError('USAGE', `${field === '' ? '' : `${field}: `}${issue?.message ?? 'not valid'}`);
}

/** Data may hold integers that JSON.stringify refuses. */
const sendJson = (reply: FastifyReply, media: string, value: unknown): FastifyReply =>
  reply.type(`${media}; charset=utf-8`).send(stringifyJson(value));

/** A whole number in a path or query. */
export const wholeNumber = ({ min = 0, max, preset }: { min?: number; max: number; preset?: number }) => {
  const number = z
    .string()
    .regex(/^\d{1,16}$/, 'a whole number')
    .transform(Number)
    .pipe(z.number().int().min(min).max(max));
  const json = { type: 'integer', minimum: min, maximum: max };
  return preset === undefined
    ? number.meta({ json })
    : number.default(preset).meta({ json: { ...json, default: preset } });
};

/** The name of something that is configured. */
export const nameParam = (description: string) =>
  z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, 'a name has letters, digits, - and _, and at most 63 of them')
    .describe(description);

/** The name of any resource in a path: one of `types` is a type, which has dots. */
export const resourceParam = (description: string) =>
  z
    .string()
    .regex(/^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/, 'a name has letters, digits, - and _; a type has dots in between')
    .max(200)
    .describe(description);
