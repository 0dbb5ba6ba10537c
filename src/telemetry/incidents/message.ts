/** An incident as a message: a CloudEvent in binary mode with plain JSON data. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { headerBlock, headerLine } from '../../core/headers.ts';
import { CONCERNS_HEADER, INCIDENT_PREFIX, type IncidentData, type IncidentKind } from './catalogue.ts';

export interface IncidentMessage {
  readonly kind: IncidentKind;
  readonly subject: string;
  /** A whole header block. */
  readonly headers: string;
  readonly body: string;
}

export interface IncidentOrigin {
  /** As `newInstance` makes it. */
  readonly instance: string;
  /** `Nats-Msg-Id` and id of the event: unique, and the same when it is published again. */
  readonly id: string;
  /** The consumers that it is about. */
  readonly concerns?: readonly string[];
  /** How often Ouzel published what led to it, this time included. */
  readonly hops?: number;
  /** When it came to it, in milliseconds since the epoch. */
  readonly time: number;
}

/** A name for this process: the host, and an id that tells it from those before it. What is no token becomes `_`. */
export const newInstance = (): string =>
  `${hostname().replaceAll(/[^A-Za-z0-9-]/g, '_')}-${randomBytes(4).toString('hex')}`;

/** Writes an incident out. The texts in its data must have no secrets in them any more. */
export function incidentMessage<Kind extends IncidentKind>(
  kind: Kind,
  data: IncidentData<Kind>,
  { instance, id, concerns = [], hops = 1, time }: IncidentOrigin,
): IncidentMessage {
  let lines = headerLine('Nats-Msg-Id', id);
  lines += headerLine('Ouzel-Hops', String(hops));
  if (concerns.length > 0) lines += headerLine(CONCERNS_HEADER, concerns.join(','));
  lines += 'ce-specversion: 1.0\r\n';
  lines += headerLine('ce-id', id);
  lines += headerLine('ce-source', `ouzel:${instance}`);
  lines += headerLine('ce-type', kind);
  lines += headerLine('ce-time', new Date(time).toISOString());
  lines += 'Content-Type: application/json\r\n';
  return {
    kind,
    subject: INCIDENT_PREFIX + kind,
    headers: headerBlock(lines),
    body: JSON.stringify({ instance, ...data }),
  };
}
