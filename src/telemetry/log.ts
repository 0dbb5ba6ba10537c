/** The log: pino, one line an occurrence. Pretty on a terminal, JSON elsewhere, logfmt on request. */
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import pretty from 'pino-pretty';

export type { Logger } from 'pino';

export interface LogSettings {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';
  readonly format: 'auto' | 'pretty' | 'json' | 'logfmt';
}

const quoted = (text: string): string => (/^[^\s="\\]+$/.test(text) ? text : JSON.stringify(text));

const logfmtValue = (value: unknown): string =>
  quoted(typeof value === 'string' ? value : (JSON.stringify(value) ?? 'null'));

/** A JSON line as `key=value` pairs. */
export function toLogfmt(line: string): string {
  const fields = JSON.parse(line) as Record<string, unknown>;
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
