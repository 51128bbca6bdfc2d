import { expect, it } from 'vitest';
import { currentTime, isoTime } from './current-time.ts';

const noon = new Date('2026-11-20T12:00:00.000Z');

it.each([
  [undefined, '2026-11-20T12:00:00.000Z'],
  ['UTC', '2026-11-20T12:00:00+00:00'],
  ['Asia/Tokyo', '2026-11-20T21:00:00+09:00'],
  ['America/St_Johns', '2026-11-20T08:30:00-03:30'],
  ['Pacific/Auckland', '2026-11-21T01:00:00+13:00'],
])('tells the time in %s', (zone, expected) => {
  expect(isoTime(noon, zone)).toBe(expected);
});

it('says what is wrong with a time zone', async () => {
  await expect(currentTime.invoke({ time_zone: 'Mars/Olympus' })).rejects.toThrow(
    'There is no time zone "Mars/Olympus". Use an IANA name such as Europe/Berlin, Asia/Tokyo or UTC.',
  );
});
