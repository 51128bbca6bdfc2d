import { readFileSync } from 'node:fs';
import { VariableFault } from '@millrace/shared/config-fields';
import { z } from 'zod';

/** US dollars for a million tokens, by model: `name` or `provider:name`. */
export type ModelPrices = ReadonlyMap<string, { input: number; output: number }>;

const price = z.number('give a number of US dollars').min(0, 'give 0 or more');
const file = z.record(z.string().min(1), z.strictObject({ input: price, output: price }));

/**
 * Reads a price file, as `{"gpt-5-mini": {"input": 0.25, "output": 2}}`.
 *
 * @throws VariableFault naming all that is wrong with it
 */
export function readModelPrices(path: string): ModelPrices {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const why = error instanceof SyntaxError ? 'is not JSON' : 'cannot be read';
    throw new VariableFault(`the file ${path} ${why}: ${(error as Error).message}`);
  }
  const read = file.safeParse(content);
  if (read.success) return new Map(Object.entries(read.data));
  const problems = read.error.issues.map((one) => `${one.path.join('.') || 'the whole'}: ${one.message}`);
  throw new VariableFault(
    `the file ${path} must be {"model": {"input": USD, "output": USD}}, for a million tokens; ${problems.join('; ')}`,
  );
}
