import { z } from 'zod';

/** Where in a trace something was asked for, as the W3C's Trace Context spells it. */
export const traceContext = z.object({
  traceparent: z.string(),
  tracestate: z.string().optional(),
});
export type TraceContext = z.infer<typeof traceContext>;

/** @returns undefined when it is none: a caller's trace is never a reason to refuse what it asks for. */
export function readTraceContext(traceparent: unknown, tracestate: unknown): TraceContext | undefined {
  if (typeof traceparent !== 'string') return undefined;
  const [, version, trace = '', span = ''] =
    /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-[\x20-\x7e]{0,128})?$/.exec(traceparent) ??
    [];
  if (version === undefined || version === 'ff' || /^0+$/.test(trace) || /^0+$/.test(span)) return undefined;
  const state = typeof tracestate === 'string' && /^[\x20-\x7e]{1,512}$/.test(tracestate);
  return { traceparent, ...(state && { tracestate }) };
}
