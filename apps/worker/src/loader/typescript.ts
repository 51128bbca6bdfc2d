import { extname } from 'node:path';

let registered: Promise<void> | undefined;

/**
 * Makes sure that a user's TypeScript can be imported. Under `node --import tsx` it can. Node's own type stripping, which may run
 * the worker itself, refuses enums, path aliases and imports without a suffix, and what is built needs none, so tsx is registered.
 */
export async function ensureTypeScript(file: string): Promise<void> {
  if (!['.ts', '.mts'].includes(extname(file)) || startedWithTsx()) return;
  registered ??= register();
  await registered;
}

function startedWithTsx(): boolean {
  return process.execArgv.some((argument) => /(^|[/=])tsx([/.]|$)/.test(argument));
}

async function register(): Promise<void> {
  const [esm, cjs] = await Promise.all([import('tsx/esm/api'), import('tsx/cjs/api')]);
  esm.register();
  // For TypeScript in a package that is not `"type": "module"`.
  cjs.register();
}
