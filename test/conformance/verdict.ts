import type { Exception } from './exceptions.ts';
import { type Check, type Revision, revisions, type ScenarioResult } from './suite.ts';

export interface Verdict {
  passed: number;
  failed: number;
  /** What to tell, a line each. */
  lines: string[];
}

/**
 * Counts checks. One that fails as listed counts as neither; what is listed and did not fail is a failure of the list, and so
 * is a scenario that left no result a failure of its own.
 *
 * @param whole whether everything was run, so that each exception must have been met
 */
export function judge(results: ScenarioResult[], exceptions: Exception[], whole: boolean): Verdict {
  let passed = 0;
  let failed = 0;
  const lines: string[] = [];
  const met = new Set<string>();
  for (const { revision, scenario, checks } of results) {
    const name = `${revision} ${scenario}`;
    if (checks.length === 0) {
      failed += 1;
      lines.push(`FAILED ${name}: it left no result`);
    }
    for (const check of checks) {
      const exception = exceptions.find((one) => isMeant(one, { revision, scenario, check: check.id }));
      if (check.status === 'SUCCESS') passed += 1;
      else if (check.status !== 'FAILURE') lines.push(`${check.status} ${name} ${describe(check)}`);
      else if (exception) {
        met.add(keyOf(revision, exception));
        lines.push(`expected ${name} ${check.id}: ${exception.reason}`);
      } else {
        failed += 1;
        lines.push(`FAILED ${name} ${describe(check)}`);
      }
    }
  }
  const listed = exceptions.flatMap((one) => revisionsOf(one).map((revision) => keyOf(revision, one)));
  for (const name of whole ? listed.filter((key) => !met.has(key)) : []) {
    failed += 1;
    lines.push(`FAILED ${name}: it is listed as failing, and does not fail; take it out of exceptions.ts`);
  }
  return { passed, failed, lines };
}

function isMeant(one: Exception, of: { revision: Revision; scenario: string; check: string }): boolean {
  return one.scenario === of.scenario && one.check === of.check && revisionsOf(one).includes(of.revision);
}

function revisionsOf({ revision }: Exception): readonly Revision[] {
  return revision === undefined ? revisions : [revision];
}

function keyOf(revision: Revision, { scenario, check }: Exception): string {
  return `${revision} ${scenario} ${check}`;
}

function describe({ id, errorMessage }: Check): string {
  return errorMessage === undefined ? id : `${id}: ${errorMessage}`;
}
