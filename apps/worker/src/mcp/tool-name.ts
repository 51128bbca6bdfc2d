import { createHash } from 'node:crypto';

/** What every provider of models takes. */
const LONGEST = 64;

/**
 * Names of a server's tools as models see them, `server__tool`, by the server's own names.
 *
 * The server is always named: otherwise another server that comes up later could turn `search` into something else under
 * a run that is about to call it. Names that models cannot have are changed, and told apart by a hash where they must be.
 */
export function toolNames(server: string, tools: readonly string[]): Map<string, string> {
  const plain = (tool: string) => `${server}__${tool.replaceAll(/[^A-Za-z0-9_-]/g, '_')}`;
  const taken = new Map<string, number>();
  for (const tool of new Set(tools)) taken.set(plain(tool), (taken.get(plain(tool)) ?? 0) + 1);
  return new Map(
    tools.map((tool) => {
      const name = plain(tool);
      const isOwn = name === `${server}__${tool}`;
      if (name.length <= LONGEST && (isOwn || taken.get(name) === 1)) return [tool, name];
      const hash = createHash('sha256').update(tool).digest('hex').slice(0, 8);
      return [tool, `${name.slice(0, LONGEST - hash.length - 1)}_${hash}`];
    }),
  );
}
