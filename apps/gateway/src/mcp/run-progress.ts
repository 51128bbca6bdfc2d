import type { RunEvent } from '@millrace/shared/contract/event';
import { metadataEvent } from '@millrace/shared/contract/event';
import { followRun, messagesBefore } from '../use-cases/runs.ts';
import { RunTokens } from './run-tokens.ts';
import type { ToolCall } from './tool-call.ts';

/** Reports a run's steps as they are taken, until the run ends or the signal aborts. Never rejects. */
export async function reportSteps(call: ToolCall, runId: string, signal: AbortSignal): Promise<void> {
  const { progress, services } = call;
  if (!progress) return;
  try {
    const counted = new RunTokens(() => messagesBefore(services, call.tenant, runId));
    for await (const event of followRun(services, runId, { signal })) {
      const tokens = await counted.count(event);
      const text = describe(event);
      if (text === undefined) continue;
      const said = event.name === 'metadata' ? text : `${text} done`;
      progress.report(tokens > 0 ? `${said} (${tokens} tokens so far)` : said);
    }
  } catch (error) {
    // Progress is a courtesy; whether the run can be watched at all is found out by who waits for its end.
    services.logger.debug({ err: error, runId }, 'progress is not reported any further');
  }
}

/** What an event means to somebody who waits; undefined when it says nothing new. */
function describe(event: RunEvent): string | undefined {
  if (event.name !== 'metadata') return describeStep(event);
  const { attempt } = metadataEvent.parse(JSON.parse(event.data));
  return attempt > 1 ? `running, attempt ${attempt}` : 'running';
}

/** The nodes whose work an event tells of, within sub-graphs from the outermost inwards; undefined when it tells of none. */
export function describeStep(event: RunEvent): string | undefined {
  // Sub-graphs append their namespace: `updates|research:<task id>`.
  const [mode, ...namespace] = event.name.split('|');
  if (mode !== 'updates') return undefined;
  const nodes = Object.keys(JSON.parse(event.data) as object).filter((name) => !name.startsWith('__'));
  if (nodes.length === 0) return undefined;
  const path = namespace.map((part) => part.split(':')[0]);
  return nodes.map((node) => [...path, node].join(' / ')).join(', ');
}
