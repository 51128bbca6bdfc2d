import { type Logger, pino } from 'pino';

export type { Logger };

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Structured lines on stdout. Credentials that slip into a logged object are blotted out. */
export function createLogger(app: string, level: LogLevel): Logger {
  return pino({
    level,
    base: { app, pid: process.pid },
    redact: { paths: ['*.authorization', '*["x-api-key"]', '*.password', '*.apiKey'], censor: '[redacted]' },
  });
}
