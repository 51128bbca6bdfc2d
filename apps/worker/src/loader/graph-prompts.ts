import {
  type GraphPrompt,
  graphPrompt,
  placeholdersOf,
  promptArgument,
  promptMessage,
} from '@millrace/shared/contract/prompt';
import { z } from 'zod';
import type { GraphFault } from './graph-fault.ts';

const { messages: _, ...common } = graphPrompt.shape;
const strict = { ...common, arguments: z.array(promptArgument.strict()).default([]) };

/** As `langgraph.json` has it: `text` is short for one message of the user. */
const written = z
  .array(
    z.union([
      z.strictObject({ ...strict, text: z.string().min(1) }).transform(({ text, ...rest }) => ({
        ...rest,
        messages: [{ role: 'user' as const, content: text }],
      })),
      z.strictObject({ ...strict, messages: z.array(promptMessage.strict()).min(1) }),
    ]),
  )
  .default([]);

/** The prompts of a graph's entry, or what is wrong with them. */
export function readPrompts(graph: string, value: unknown): { prompts: GraphPrompt[]; faults: GraphFault[] } {
  const parsed = written.safeParse(value);
  if (!parsed.success) {
    return {
      prompts: [],
      faults: parsed.error.issues.map((issue) => ({
        graph,
        message: `its prompts${pathOf(issue.path)} cannot be understood (${detailOf(issue)})`,
        remedy:
          'write {"name": "review", "text": "Review {{file}}", "arguments": [{"name": "file", "required": true}]}, ' +
          'or "messages": [{"role": "user", "content": "…"}] in place of "text"',
      })),
    };
  }
  const prompts = parsed.data;
  const faults = prompts.flatMap((prompt, i) => faultsOf(graph, prompt, prompts.slice(0, i)));
  return { prompts, faults };
}

function faultsOf(graph: string, prompt: GraphPrompt, before: GraphPrompt[]): GraphFault[] {
  const names = prompt.arguments.map((one) => one.name);
  const asked = prompt.messages.flatMap((one) => placeholdersOf(one.content));
  const unknown = [...new Set(asked.filter((name) => !names.includes(name)))];
  const twice = [...new Set(names.filter((name, i) => names.indexOf(name) !== i))];
  const fault = (message: string, remedy: string) => ({
    graph,
    message: `its prompt "${prompt.name}" ${message}`,
    remedy,
  });
  return [
    ...(before.some((one) => one.name === prompt.name)
      ? [fault('is there twice', 'rename one of them')]
      : []),
    ...twice.map((name) => fault(`has the argument "${name}" twice`, 'rename one of them')),
    ...unknown.map((name) =>
      fault(`names {{${name}}}, which is no argument of it`, `add {"name": "${name}"} to its "arguments"`),
    ),
  ];
}

function pathOf(path: PropertyKey[]): string {
  return path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
}

/** A union tells of each way in which nothing fits. */
function detailOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_union') return issue.message;
  const ways = issue.errors.map((way) =>
    way.map((one) => `${pathOf(one.path).slice(1) || 'it'}: ${one.message}`),
  );
  // The form that was meant has the least wrong.
  return ways.sort((a, b) => a.length - b.length)[0]?.join('; ') ?? issue.message;
}
