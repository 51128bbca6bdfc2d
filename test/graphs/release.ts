import { mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));

/** A copy of the test graphs in a folder of its own: what another release of them would be. */
export interface Release {
  /** Path of its `langgraph.json`. */
  config: string;
  remove: () => Promise<void>;
}

/** @param changes texts of `graphs.ts` and `langgraph.json` and what they become; one that is not there is an error */
export async function makeRelease(changes: Record<string, string> = {}): Promise<Release> {
  let source = await readFile(join(here, 'graphs.ts'), 'utf8');
  let config = await readFile(join(here, 'langgraph.json'), 'utf8');
  for (const [from, to] of Object.entries(changes)) {
    if (!`${source}${config}`.includes(from)) throw new Error(`The test graphs do not contain ${from}`);
    source = source.replaceAll(from, to);
    config = config.replaceAll(from, to);
  }
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'millrace-release-')));
  await symlink(join(here, '..', 'node_modules'), join(directory, 'node_modules'));
  await writeFile(join(directory, 'package.json'), '{"type":"module"}');
  // Any release has another text, changed or not.
  await writeFile(join(directory, 'graphs.ts'), `${source}\n// ${directory}\n`);
  await writeFile(join(directory, 'langgraph.json'), config);
  return {
    config: join(directory, 'langgraph.json'),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}
