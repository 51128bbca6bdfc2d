import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { type TaskSupport, taskSupport } from '@millrace/shared/contract/catalog';
import type { GraphPrompt } from '@millrace/shared/contract/prompt';
import { z } from 'zod';
import { type GraphFault, GraphLoadError } from './graph-fault.ts';
import { readPrompts } from './graph-prompts.ts';

/** One graph as `langgraph.json` names it. */
export interface GraphSpec {
  name: string;
  /** Absolute path. */
  file: string;
  /** `default` when the file names none. */
  exportName: string;
  description?: string | undefined;
  queue?: string | undefined;
  taskSupport?: TaskSupport | undefined;
  prompts: GraphPrompt[];
}

/** A `langgraph.json`, as far as it could be understood. */
export interface GraphConfig {
  graphs: GraphSpec[];
  /** What `env` says, from the object itself or from the file it names; empty without one. */
  env: Record<string, string>;
  faults: GraphFault[];
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
/** The export's name stands behind the last colon; a colon that comes sooner may be part of a Windows path. */
const PATH = /^(?<file>.+?)(?::(?<name>[A-Za-z_$][\w$]*))?$/;

const settled = z.object({
  path: z.string(),
  description: z.string().optional(),
  queue: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, 'must be letters, digits, _ and -')
    .optional(),
  task_support: taskSupport.optional(),
  prompts: z.unknown().optional(),
});

const entry = z.union([z.string().transform((path): z.infer<typeof settled> => ({ path })), settled]);

/** Loose: `dependencies`, `node_version`, `dockerfile_lines` and the like are for LangGraph's own command line. */
const file = z.looseObject({
  graphs: z.record(z.string(), z.unknown()),
  env: z.union([z.string(), z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))]).optional(),
});

/**
 * Reads a `langgraph.json`.
 * @param configFile absolute path.
 * @throws {GraphLoadError} when it is not there, not JSON, or names no graphs; lesser faults are in the result.
 */
export async function readGraphConfig(configFile: string): Promise<GraphConfig> {
  const parsed = file.safeParse(await readJson(configFile));
  if (!parsed.success) {
    throw new GraphLoadError(configFile, [
      {
        message: z.prettifyError(parsed.error).replaceAll(/\s*\n\s*/g, ' '),
        remedy: 'it must look like {"graphs": {"agent": "./src/agent.ts:graph"}}',
      },
    ]);
  }
  const folder = dirname(configFile);
  const faults: GraphFault[] = [];
  const graphs: GraphSpec[] = [];
  for (const [name, value] of Object.entries(parsed.data.graphs)) {
    const spec = toSpec(name, value, folder);
    if (Array.isArray(spec)) faults.push(...spec);
    else graphs.push(spec);
  }
  if (graphs.length === 0 && faults.length === 0) {
    faults.push({ message: 'it names no graphs', remedy: 'add one under "graphs"' });
  }
  return { graphs, env: await readEnv(parsed.data.env, folder, faults), faults };
}

function toSpec(name: string, value: unknown, folder: string): GraphSpec | GraphFault[] {
  if (!NAME.test(name)) {
    return [
      {
        graph: name,
        message: 'its name cannot be used',
        remedy: 'use letters, digits, _ and -, at most 64, beginning with a letter or digit',
      },
    ];
  }
  const parsed = entry.safeParse(value);
  const path = parsed.success ? PATH.exec(parsed.data.path)?.groups : undefined;
  if (!parsed.success || path?.file === undefined) {
    return [
      {
        graph: name,
        message: 'its entry cannot be understood',
        remedy:
          'write "./file.ts:export", or {"path": "./file.ts:export", "description": "…", "queue": "…", "task_support": "optional", "required" or "forbidden"}',
      },
    ];
  }
  const { description, queue, task_support } = parsed.data;
  const { prompts, faults } = readPrompts(name, parsed.data.prompts);
  if (faults.length > 0) return faults;
  return {
    name,
    file: resolve(folder, path.file),
    exportName: path.name ?? 'default',
    description,
    queue,
    taskSupport: task_support,
    prompts,
  };
}

async function readJson(configFile: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(configFile, 'utf8');
  } catch (error) {
    throw new GraphLoadError(configFile, [
      {
        message: `it cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`,
        remedy: 'correct LANGGRAPH_CONFIG',
      },
    ]);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new GraphLoadError(configFile, [
      { message: `it is not JSON (${(error as Error).message})`, remedy: 'correct it' },
    ]);
  }
}

async function readEnv(
  env: string | Record<string, string | number | boolean> | undefined,
  folder: string,
  faults: GraphFault[],
): Promise<Record<string, string>> {
  if (env === undefined) return {};
  if (typeof env !== 'string') {
    return Object.fromEntries(Object.entries(env).map(([key, value]) => [key, String(value)]));
  }
  try {
    return parseEnv(await readFile(resolve(folder, env), 'utf8')) as Record<string, string>;
  } catch {
    faults.push({
      message: `its env file ${resolve(folder, env)} cannot be read`,
      remedy: 'correct "env"',
    });
    return {};
  }
}
