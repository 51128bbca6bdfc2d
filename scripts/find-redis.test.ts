import { expect, test } from 'vitest';
import { libraryPackages } from './debian-package.ts';
import { remedy } from './find-redis.ts';
import { isNewEnough, parseVersion } from './redis-server-binary.ts';

test.each([
  ['darwin', '`brew install valkey`'],
  ['win32', 'WSL'],
  ['linux', 'Install redis-server or valkey'],
] as const)('on %s the remedy is one line with %s', (platform, words) => {
  const text = remedy(platform, ['Docker does not answer']);
  expect(text).toContain(words);
  expect(text).toContain('REDIS_URL');
  expect(text).not.toContain('\n');
});

test.each([
  ['Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64', '7.0.15', true],
  ['Valkey server v=8.1.1 sha=00000000:0', '8.1.1', true],
  ['Redis server v=6.2.0 sha=0', '6.2.0', true],
  ['Redis server v=6.0.16 sha=0', '6.0.16', false],
])('%s', (text, version, enough) => {
  expect(parseVersion(text)).toBe(version);
  expect(isNewEnough(version)).toBe(enough);
});

test('of the dependencies only libraries for programs are fetched, and not the C library', () => {
  const depends =
    'adduser, libc6 (>= 2.34), libssl3t64 (>= 3.0.0) | libssl3, libsystemd0:any, libjs-jquery, lua5.1';
  expect(libraryPackages(depends)).toEqual(['libssl3t64', 'libsystemd0']);
});
