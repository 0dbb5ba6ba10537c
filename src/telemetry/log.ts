/** The log: pino, one line an occurrence. Pretty on a terminal, JSON elsewhere, logfmt on request. */
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import pretty from 'pino-pretty';

export type { Logger } from 'pino';

export interface LogSettings {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';
  readonly format: 'auto' | 'pretty' | 'json' | 'logfmt';
}

// oxlint-disable-next-line no-control-regex -- control characters must not get to a terminal as they are
const quoted = (text: string): string => (/^[^\s="\\\u0000-\u001f]+$/.test(text) ? text : JSON.stringify(text));

const logfmtValue = (value: unknown): string =>
  quoted(typeof value === 'string' ? value : (JSON.stringify(value) ?? 'null'));

function fieldsOf(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    // A secret that was taken out of the line may have taken a quote along.
    return { msg: line.trimEnd() };
  }
}

/** A JSON line as `key=value` pairs. */
export function toLogfmt(line: string): string {
  const fields = fieldsOf(line);
  return `${Object.entries(fields)
    .map(([key, value]) => `${key}=${logfmtValue(value)}`)
    .join(' ')}\n`;
}

function destination(format: LogSettings['format'], out: NodeJS.WriteStream): DestinationStream {
  const kind = format === 'auto' ? (out.isTTY ? 'pretty' : 'json') : format;
  if (kind === 'pretty')
    return pretty({ destination: out, colorize: out.isTTY, translateTime: 'SYS:HH:MM:ss.l', ignore: 'pid,hostname' });
  return { write: (line) => void out.write(kind === 'logfmt' ? toLogfmt(line) : line) };
}

/**
 * @param redact Takes secrets out of a line before it is written.
 */
export function createLogger(
  settings: LogSettings,
  redact: (line: string) => string = (line) => line,
  out: NodeJS.WriteStream = process.stdout,
): Logger {
  return pino(
    {
      level: settings.level,
      base: null,
      // Event data is logged whole where it is logged; how much of it is decided there.
      depthLimit: 1000,
      edgeLimit: 10_000,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: redact },
    },
    destination(settings.format, out),
  );
}
