import { prometheusCacheDir } from '../../scripts/paths.ts';
import { findPrometheus } from '../../scripts/prometheus.ts';
import { say } from '../../scripts/say.ts';

/** A program of Prometheus (`promtool`, `prometheus`): the machine's, or that of the distribution's package. */
export async function prometheusProgram(name: string): Promise<string> {
  const found = await findPrometheus(name, { cacheDir: prometheusCacheDir, env: process.env, log: say });
  if ('file' in found) return found.file;
  throw new Error(`${name} is not on PATH, and ${found.reason}; install Prometheus`);
}
