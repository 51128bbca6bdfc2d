import { tool } from 'langchain';
import { z } from 'zod';

/**
 * An instant as ISO 8601: in UTC (`2026-11-20T13:09:00.000Z`), or with the offset of an IANA time zone
 * (`2026-11-20T22:09:00+09:00`).
 * @throws {RangeError} when there is no such time zone.
 */
export function isoTime(instant: Date, timeZone?: string): string {
  if (timeZone === undefined) return instant.toISOString();
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      calendar: 'iso8601',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
      timeZoneName: 'longOffset',
    });
  } catch {
    throw new RangeError(
      `There is no time zone "${timeZone}". Use an IANA name such as Europe/Berlin, Asia/Tokyo or UTC.`,
    );
  }
  const part = Object.fromEntries(format.formatToParts(instant).map(({ type, value }) => [type, value]));
  // "GMT+09:00"; some versions of ICU write a bare "GMT" for UTC.
  const offset = part.timeZoneName?.replace('GMT', '') || '+00:00';
  return `${part.year}-${part.month}-${part.day}T${part.hour}:${part.minute}:${part.second}${offset}`;
}

/** Tool `current_time`: `{time_zone?}` in, the time now as ISO 8601 out. An unknown time zone is a tool error. */
export const currentTime = tool(({ time_zone }) => isoTime(new Date(), time_zone), {
  name: 'current_time',
  description: 'Tells the current date and time as ISO 8601.',
  schema: z.object({
    time_zone: z.string().optional().describe('IANA time zone, for example Asia/Tokyo; UTC when left out'),
  }),
});
