/** The second that was written last, and how: events of one second share all but the milliseconds. */
let second = Number.NaN;
let written = '';

/** An instant as RFC 3339 in UTC with milliseconds. @param milliseconds Whole milliseconds since the epoch. */
export function isoTime(milliseconds: number): string {
  const whole = Math.floor(milliseconds / 1000);
  if (whole !== second) {
    written = new Date(whole * 1000).toISOString().slice(0, -4);
    second = whole;
  }
  const rest = milliseconds - whole * 1000;
  return `${written}${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}Z`;
}
