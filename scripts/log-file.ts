import { closeSync, fstatSync, mkdirSync, openSync, readSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';

const window = 64 * 1024;

/**
 * Opens a new log for a child to write to by itself: with a pipe it could not log any more when the launcher is gone.
 * The log of the start before is kept, since it is often the one that matters.
 */
export function openLog(file: string): number {
  mkdirSync(dirname(file), { recursive: true });
  try {
    renameSync(file, file.replace(/(\.log)?$/, '.previous.log'));
  } catch {
    // the first start
  }
  return openSync(file, 'a', 0o600);
}

/** The last lines of a log that may be very long; empty when there is none. */
export function lastLines(file: string, count: number): string {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = fstatSync(fd);
    const buffer = Buffer.alloc(Math.min(size, window));
    const length = readSync(fd, buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString('utf8', 0, length).trimEnd().split('\n').slice(-count).join('\n');
  } finally {
    closeSync(fd);
  }
}
