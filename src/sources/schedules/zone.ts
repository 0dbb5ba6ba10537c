/** Time zones of schedules: whether there is one of a name, and what its clock shows. */
import { nearest } from '../../config/suggest.ts';
import { localTime } from '../../expression/zone.ts';
import { Timestamp } from '../../expression/values.ts';

/** Why there is no such zone, as a hint; undefined when there is one. */
export function zoneHint(zone: string): string | undefined {
  if (isZone(zone)) return undefined;
  const zones = [...Intl.supportedValuesOf('timeZone'), 'UTC'];
  const city = zones.find((each) => each.split('/').at(-1)?.toLowerCase() === zone.trim().toLowerCase());
  const near = city ?? nearest(zone, zones);
  return near === undefined ? 'for example Europe/Berlin, America/New_York, UTC' : `did you mean "${near}"?`;
}

/** An offset is none: it would have no summer. */
function isZone(zone: string): boolean {
  if (!/^[A-Za-z]/.test(zone)) return false;
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: zone }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

/** `2026-10-25T02:30:00+01:00`: an instant by the clock of a zone. */
export function zonedTime(instant: number, zone: string): string {
  const local = localTime(Timestamp.fromMillis(instant), zone);
  if (local === undefined) throw new TypeError(`no time zone ${zone}`);
  const { date, offset } = local;
  const [text = ''] = date.toISOString().split(/(?:\.000)?Z/);
  if (offset === 0) return `${text}Z`;
  const minutes = Math.abs(offset);
  const two = (number: number): string => String(number).padStart(2, '0');
  return `${text}${offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}
