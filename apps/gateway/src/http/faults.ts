import type { z } from 'zod';

/** One thing that is wrong with a value, in words for who sent it. */
export interface Fault {
  /** Where, as `messages[0].content`; empty for the value as a whole. */
  field: string;
  /** Names the field and says what to do. */
  text: string;
}

/** Everything a schema found wrong; parse with `reportInput`, so that what is missing is called missing. */
export function faultsOf(error: z.ZodError): Fault[] {
  return error.issues.map((issue) => toFault(issue));
}

function toFault(issue: z.core.$ZodIssue): Fault {
  const field = pathOf(issue.path);
  const name = field === '' ? 'the body' : field;
  switch (issue.code) {
    case 'invalid_type':
      return {
        field,
        text: missingOrWrong(name, issue.input, `${article(issue.expected)} ${issue.expected}`),
      };
    case 'invalid_value':
      return {
        field,
        text: missingOrWrong(
          name,
          issue.input,
          `one of ${issue.values.map((one) => JSON.stringify(one)).join(', ')}`,
        ),
      };
    case 'unrecognized_keys': {
      const keys = issue.keys.map((key) => pathOf([...issue.path, key]));
      return { field: keys[0] ?? field, text: `${keys.join(', ')}: not known here; remove or correct` };
    }
    case 'invalid_union':
      return { field, text: `${name} fits none of its forms: ${branchesOf(issue)}` };
    default:
      return { field, text: `${name}: ${issue.message}` };
  }
}

function branchesOf(issue: z.core.$ZodIssueInvalidUnion): string {
  const forms = issue.errors.map((issues) => issues.map((one) => one.message).join(', '));
  return [...new Set(forms)].join('; or ') || issue.message;
}

function missingOrWrong(name: string, input: unknown, wanted: string): string {
  if (input === undefined) return `${name} is missing; give ${wanted}`;
  return `${name} must be ${wanted}, not ${describe(input)}`;
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return `${article(typeof value)} ${typeof value}`;
}

function article(word: string): string {
  return /^[aeiou]/.test(word) ? 'an' : 'a';
}

function pathOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`,
    '',
  );
}
