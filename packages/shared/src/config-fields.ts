import { z } from 'zod';

/** What is wrong with a variable's text; thrown by the readers given to {@link variable}. */
export class VariableFault extends Error {
  override readonly name = 'VariableFault';
}

/** A variable as a schema's field. `read` turns its text into a value or throws {@link VariableFault}. */
export function variable<T>(fallback: T, read: (text: string) => T) {
  return z
    .string()
    .optional()
    .transform((text, context): T => {
      if (text === undefined) return fallback;
      try {
        return read(text.trim());
      } catch (error) {
        if (!(error instanceof VariableFault)) throw error;
        context.addIssue({ code: 'custom', message: error.message });
        return z.NEVER;
      }
    });
}

export interface Bounds {
  min?: number;
  max?: number;
}

export function text(fallback: string, pattern?: RegExp, wanted?: string) {
  return variable(fallback, (given) => checkPattern(given, pattern, wanted));
}

export function optionalText(pattern?: RegExp, wanted?: string) {
  return variable<string | undefined>(undefined, (given) => checkPattern(given, pattern, wanted));
}

export function oneOf<T extends string>(values: readonly T[], fallback: T) {
  return variable<T>(fallback, (given) => {
    const found = values.find((one) => one === given);
    if (found === undefined) throw new VariableFault(`must be ${values.join(', ')}`);
    return found;
  });
}

/** `1`, `true`, `yes`, `on` or their opposites. */
export function flag(fallback: boolean) {
  return variable(fallback, (given) => {
    if (/^(1|true|yes|on)$/i.test(given)) return true;
    if (/^(0|false|no|off)$/i.test(given)) return false;
    throw new VariableFault('must be 1 or 0');
  });
}

/** Parts between commas, without empty ones. */
export function list() {
  return variable<string[]>([], (given) =>
    given
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  );
}

export function wholeNumber(fallback: number, bounds: Bounds = {}) {
  return variable(fallback, (given) => readNumber(given, /^\d{1,15}$/, 'a whole number', bounds));
}

/** A time in seconds, fractions allowed; the value is in milliseconds. `fallback` and `bounds` are seconds. */
export function seconds(fallback: number, bounds: Bounds = {}) {
  return duration(1000, 'seconds', fallback, bounds);
}

/** As {@link seconds}, in hours. */
export function hours(fallback: number, bounds: Bounds = {}) {
  return duration(3600_000, 'hours', fallback, bounds);
}

/** As {@link seconds}, in days. */
export function days(fallback: number, bounds: Bounds = {}) {
  return duration(24 * 3600_000, 'days', fallback, bounds);
}

function duration(unitMs: number, unit: string, fallback: number, bounds: Bounds) {
  return variable(fallback * unitMs, (given) =>
    Math.round(readNumber(given, /^\d{1,9}(\.\d{1,6})?$/, `a number of ${unit}`, bounds) * unitMs),
  );
}

function checkPattern(given: string, pattern: RegExp | undefined, wanted: string | undefined): string {
  if (pattern && !pattern.test(given)) throw new VariableFault(`must be ${wanted ?? `like ${pattern}`}`);
  return given;
}

function readNumber(given: string, pattern: RegExp, what: string, { min = 0, max }: Bounds): number {
  const value = Number(given);
  if (!pattern.test(given) || value < min || (max !== undefined && value > max)) {
    throw new VariableFault(
      `must be ${what}, ${max === undefined ? `${min} or more` : `from ${min} to ${max}`}`,
    );
  }
  return value;
}

/** Field of a TCP port; 0 takes any free one. */
export const port = (fallback: number) => wholeNumber(fallback, { max: 65535 });
