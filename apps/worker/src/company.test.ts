import { beforeEach, expect, it } from 'vitest';
import { Company } from './company.ts';

let door: string[];
let company: Company;
beforeEach(() => {
  door = [];
  company = new Company({ shut: () => door.push('shut'), open: () => door.push('open') });
});

/** Notes what came of the wait, in the order of things. */
function wait(name: string): void {
  expect(company.enter()).toBe(true);
  void company.alone().then((alone) => door.push(`${name}: ${alone}`));
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

it('one is alone when the others have left, and nobody comes in until it leaves', async () => {
  company.enter();
  company.enter();
  wait('a');
  expect([company.enter(), company.isCrowded]).toEqual([false, true]);
  company.leave();
  await settled();
  expect(door).toEqual(['shut']);
  company.leave();
  await settled();
  expect(door).toEqual(['shut', 'a: true']);
  expect([company.enter(), company.isCrowded]).toEqual([false, false]);
  company.leave();
  expect(door).toEqual(['shut', 'a: true', 'open']);
  expect(company.enter()).toBe(true);
});

it('several are alone one after the other', async () => {
  company.enter();
  company.enter();
  const turns = ['a', 'b'].map((name) => company.alone().then(() => door.push(name)));
  await turns[0];
  await settled();
  expect(door).toEqual(['shut', 'shut', 'a']);
  company.leave();
  await turns[1];
  expect(company.enter()).toBe(false);
  company.leave();
  expect(door).toEqual(['shut', 'shut', 'a', 'b', 'open']);
});

it('who need not be alone any more lets others in, or makes room for who waits', async () => {
  wait('a');
  await settled();
  company.share();
  expect(door).toEqual(['shut', 'a: true', 'open']);
  expect(company.enter()).toBe(true);
  company.share();
  company.leave();
  wait('b');
  await settled();
  expect(door.slice(3)).not.toContain('b: true');
  company.leave();
  await settled();
  expect(door.at(-1)).toBe('b: true');
});

it('nobody waits in a worker that leaves', async () => {
  company.enter();
  wait('a');
  company.end();
  await settled();
  expect(door).toEqual(['shut', 'a: false']);
  expect(await company.alone()).toBe(false);
});
