import { type BaseMessage, HumanMessage, ToolMessage } from '@langchain/core/messages';

/** One tool call that the demo model wants to make. */
export interface DemoToolCall {
  name: string;
  args: Record<string, unknown>;
}

/** What the demo model says next: either tool calls or a text. */
export type DemoReply = { toolCalls: DemoToolCall[] } | { text: string };

/**
 * Decides the demo model's next message from the conversation alone, so that the same conversation always gets the
 * same reply.
 * @param tools names of the tools that are bound; others are never called.
 */
export function demoReply(messages: readonly BaseMessage[], tools: ReadonlySet<string>): DemoReply {
  const turn = messages.findLastIndex((message) => HumanMessage.isInstance(message));
  const said = messages[turn]?.text ?? '';
  const results = messages.slice(turn + 1).filter((message) => ToolMessage.isInstance(message));
  const earlier = messages
    .slice(0, Math.max(turn, 0))
    .filter((message) => HumanMessage.isInstance(message))
    .map((message) => message.text);
  const remembered = recall(said, earlier);

  if (results.length === 0 && !asksMemory(said)) {
    const toolCalls = plan(said).filter((call) => tools.has(call.name));
    if (toolCalls.length > 0) return { toolCalls };
  }
  const parts = [...remembered, ...results.map((result) => report(result, messages))];
  if (parts.length > 0) return { text: parts.join(' ') };
  return {
    text:
      "I am Millrace's demo model: no AI, only a fixed set of rules that drive the tools for real. " +
      `You said: "${said.trim()}". Ask me for a calculation, the time, or an approval; set MODEL for a real model.`,
  };
}

function plan(said: string): DemoToolCall[] {
  const calls: DemoToolCall[] = findExpressions(said).map((expression) => ({
    name: 'calculator',
    args: { expression },
  }));
  if (/\b(time|date|clock|today)\b/i.test(said)) {
    const zone = /\b(UTC|[A-Z][A-Za-z]+\/[A-Z][A-Za-z_+-]+(?:\/[A-Z][A-Za-z_]+)?)(?![\w/])/.exec(said)?.[1];
    calls.push({ name: 'current_time', args: zone === undefined ? {} : { time_zone: zone } });
  }
  if (
    /\b(approv\w*|permission|humans?|ask\s+(?:an?\s+|the\s+|some\s*)?(?:person|people|one))\b/i.test(said)
  ) {
    calls.push({ name: 'ask_person', args: { question: `May I go ahead with this? "${said.trim()}"` } });
  }
  return [...calls, ...named(said)];
}

/** Any other tool, by its name: `call docs__search {"query": "queues"}`. */
function named(said: string): DemoToolCall[] {
  return [...said.matchAll(/\bcall\s+([\w-]+)(?:\s*(\{[^{}]*\}))?/gi)].flatMap(
    ([, name = '', json = '{}']) => {
      try {
        return [{ name, args: JSON.parse(json) as Record<string, unknown> }];
      } catch {
        return [];
      }
    },
  );
}

/** The stretches of a text that are arithmetic: `What is 12*(3+4)?` has `12*(3+4)`. */
export function findExpressions(text: string): string[] {
  // Cut, as the patterns below take quadratic time on a long run of spaces.
  const plain = text.slice(0, 4_000).replaceAll('×', '*').replaceAll('÷', '/').replaceAll('−', '-');
  return (plain.match(/[-+(\s]*\d[\d\s.+\-*/%^()]*/g) ?? [])
    .map(trimToExpression)
    .filter((found) => /[\d)]\s*[-+*/%^]\s*[-+(]*[\d.]/.test(found) && !/^\d{4}-\d{2}-\d{2}$/.test(found));
}

/** Cuts a sentence's own punctuation off both ends: a full stop, a dash, the parenthesis around an aside. */
function trimToExpression(found: string): string {
  let text = found.trim();
  for (;;) {
    const before = text;
    text = text.replace(/[\s.+\-*/%^(]+$/, '').replace(/^\++/, '');
    const surplus = text.split('(').length - text.split(')').length;
    if (surplus > 0 && text.startsWith('(')) text = text.slice(1).trimStart();
    if (surplus < 0 && text.endsWith(')')) text = text.slice(0, -1).trimEnd();
    if (text === before) return text;
  }
}

const ASKS_NAME = /\bwhat(?:'s|’s|\s+is|\s+was)\s+my\s+name\b|\bwho\s+am\s+i\b/i;
const ASKS_EARLIER =
  /\bwhat\s+(?:did|have)\s+i\s+(?:just\s+)?(?:say|said|ask|asked|tell|told|write|written)\b/i;
const NAME = /\bmy\s+name\s+is\s+([\p{L}][\p{L}'’-]*)/iu;

function asksMemory(said: string): boolean {
  return ASKS_NAME.test(said) || ASKS_EARLIER.test(said);
}

function recall(said: string, earlier: readonly string[]): string[] {
  const parts: string[] = [];
  const introduced = NAME.exec(said)?.[1];
  if (introduced !== undefined) parts.push(`Nice to meet you, ${introduced}.`);
  if (ASKS_NAME.test(said)) {
    const known = [...earlier, said].findLast((text) => NAME.test(text));
    const name = known === undefined ? undefined : NAME.exec(known)?.[1];
    parts.push(name === undefined ? 'You have not told me your name.' : `Your name is ${name}.`);
  }
  if (ASKS_EARLIER.test(said)) {
    const last = earlier.at(-1);
    parts.push(
      last === undefined ? 'This is your first message.' : `Before this you said: "${last.trim()}".`,
    );
  }
  return parts;
}

function report(result: ToolMessage, messages: readonly BaseMessage[]): string {
  if (result.status === 'error') return `The tool ${result.name} failed: ${firstLine(result.text)}`;
  if (result.name === 'calculator') {
    const expression = argumentOf(result, messages, 'expression');
    return expression === undefined ? `The result is ${result.text}.` : `${expression} = ${result.text}.`;
  }
  if (result.name === 'current_time') {
    const zone = argumentOf(result, messages, 'time_zone');
    return `The time${zone === undefined ? '' : ` in ${zone}`} is ${result.text}.`;
  }
  if (result.name === 'ask_person') return `The person answered: ${result.text}`;
  return `${result.name}: ${result.text}`;
}

/** An argument of the call that a tool result answers. */
function argumentOf(result: ToolMessage, messages: readonly BaseMessage[], key: string): string | undefined {
  for (const message of messages) {
    // Duck-typed: after a checkpoint the message may come from another copy of @langchain/core.
    const calls = (message as { tool_calls?: { id?: string; args: Record<string, unknown> }[] }).tool_calls;
    const value = calls?.find((call) => call.id === result.tool_call_id)?.args[key];
    if (typeof value === 'string') return value;
  }
  return undefined;
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}
