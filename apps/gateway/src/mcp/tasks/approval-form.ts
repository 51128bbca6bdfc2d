import type { Json, JsonObject } from '@millrace/shared/contract/json';
import { z } from 'zod';
import type { Form } from './forms.ts';

/** What LangChain's `humanInTheLoopMiddleware` hands to `interrupt()`. Edits are beyond a form. */
const approval = z.object({
  actionRequests: z
    .array(z.object({ name: z.string(), args: z.unknown(), description: z.string().optional() }))
    .min(1),
  reviewConfigs: z.array(z.object({ allowedDecisions: z.array(z.string()) })),
});

/** The form for tool calls that a person is to approve; undefined when the interrupt is about anything else. */
export function approvalForm(value: Json | undefined): Form | undefined {
  const { data } = approval.safeParse(value);
  if (!data) return undefined;
  const calls = data.actionRequests.map(({ name, args, description }, i) => ({
    decision: `decision_${i + 1}`,
    reason: `reason_${i + 1}`,
    title: description ?? `${name} ${JSON.stringify(args ?? {})}`,
    allowed: (['approve', 'reject'] as const).filter((one) =>
      data.reviewConfigs[i]?.allowedDecisions.includes(one),
    ),
  }));
  if (calls.some((one) => one.allowed.length === 0)) return undefined;
  const properties = calls.flatMap(({ decision, reason, title, allowed }) => [
    [decision, { type: 'string' as const, title, enum: [...allowed] }] as const,
    ...(allowed.includes('reject')
      ? [[reason, { type: 'string' as const, title: 'Why not, if it is rejected' }] as const]
      : []),
  ]);
  return {
    message: calls.length === 1 ? 'May this tool be called?' : 'May these tools be called?',
    schema: {
      type: 'object',
      properties: Object.fromEntries(properties),
      required: calls.map((one) => one.decision),
    },
    outcome: (content) => {
      const decisions: JsonObject[] = [];
      for (const { decision, reason, allowed } of calls) {
        const type = allowed.find((one) => one === content[decision]);
        if (!type) return { kind: 'fault', text: `content.${decision} must be ${allowed.join(' or ')}` };
        const message = content[reason];
        decisions.push({ type, ...(type === 'reject' && typeof message === 'string' && { message }) });
      }
      return { kind: 'answer', answer: { decisions } };
    },
  };
}
