/**
 * What a route asks of whoever calls it, and what it learns of them.
 *
 * A route says `config: { needs: { … } }` or `config: { open: true }`; one that says neither is refused when it is
 * added. Before its handler runs, `request.actor` is set and holds what the route needs. A handler of a write sets
 * `request.act` as soon as it knows what it is about to do; the audit takes it from there.
 */
import type { FastifyRequest } from 'fastify';
import type { Actor } from '../../fleet/ports.ts';

/** `operate` holds `read`, `admin` holds all; `publish` posts events and sees nothing. */
export const SCOPES = ['read', 'publish', 'operate', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** What something belongs to. What is left out, it has not. */
export interface About {
  readonly consumer?: string | undefined;
  /** The type of an event. */
  readonly type?: string | undefined;
}

/** What must hold before a handler runs. */
export interface Needs {
  readonly scope: Scope;
  /** It changes something: audited, and not open to everybody on this machine once there is `access`. */
  readonly write?: boolean;
  /** The audit's name for it, such as `consumer.put`, also of attempts that are refused before the handler runs. */
  readonly what?: string;
  /** The consumer that a request is about. Only parameters and query are there yet, not the body. */
  readonly consumer?: (request: FastifyRequest) => string | undefined;
  /** The type of event that a request is about, likewise. */
  readonly type?: (request: FastifyRequest) => string | undefined;
  /**
   * The handler itself asks `request.actor.may(scope, about)` of each thing that it shows or changes. Without it, and
   * where neither `consumer` nor `type` answers, who is limited to some consumers or types is refused.
   */
  readonly narrows?: boolean;
}

/** Who asks. `name` is that of the `access` entry, else of the credentials; `local` for who sits at the machine. */
export interface RequestActor extends Actor {
  /**
   * Whether it may do this to what is about the given consumer and type. Without `about`: to everything, unlimited.
   * Somebody who is limited to some types may do nothing to what has no type, and likewise of consumers.
   */
  may(scope: Scope, about?: About): boolean;
}

/** One write, for the audit. Secrets in `before` and `after` must be taken out already, or are those of the configuration. */
export interface Act {
  /** Kind of thing and verb, each one word: `consumer.put`, `dead-letter.redrive`. */
  readonly what: string;
  /** Section and name: `consumers/billing`. */
  readonly resource: string;
  readonly before?: unknown;
  readonly after?: unknown;
  /** Nothing was to be changed: it is recorded only if it was refused. */
  readonly dryRun?: boolean;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** See {@link Needs}. */
    needs?: Needs;
    /** Answered to everybody, from everywhere: metrics and health alone. */
    open?: true;
  }

  interface FastifyRequest {
    /** Set before the handler of every route that has `needs`. */
    actor: RequestActor;
    /** Set by handlers of writes. */
    act: Act | undefined;
  }
}
