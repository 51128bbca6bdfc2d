import { z } from 'zod';

export const promptArgument = z.object({
  name: z.string().regex(/^[A-Za-z0-9_]{1,64}$/, 'must be letters, digits and _'),
  title: z.string().optional(),
  description: z.string().optional(),
  required: z.boolean().optional(),
});

export const promptMessage = z.object({ role: z.enum(['user', 'assistant']), content: z.string() });

/** A prompt that a graph declares. Its texts name arguments as `{{name}}`. */
export const graphPrompt = z.object({
  name: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be letters, digits, _ and -'),
  title: z.string().optional(),
  description: z.string().optional(),
  arguments: z.array(promptArgument).default([]),
  messages: z.array(promptMessage).min(1),
});
export type GraphPrompt = z.infer<typeof graphPrompt>;

const PLACEHOLDER = /\{\{\s*(\w+)\s*\}\}/g;

/** The arguments that a text names. */
export function placeholdersOf(text: string): string[] {
  return [...text.matchAll(PLACEHOLDER)].map(([, name = '']) => name);
}

/** A text with its arguments put in; what was not given is empty. What is put in is not looked into. */
export function filledIn(text: string, args: Record<string, string>): string {
  return text.replaceAll(PLACEHOLDER, (_, name: string) =>
    Object.hasOwn(args, name) ? (args[name] ?? '') : '',
  );
}
