import { configDefaults, defineConfig } from 'vitest/config';

/** Scenarios of many processes and minutes, which have a command of their own: the rest is to be done in ten. */
const long = '**/*.long.test.ts';

export default defineConfig({
  test: {
    testTimeout: 240_000,
    hookTimeout: 120_000,
    maxWorkers: 3,
    projects: [
      {
        extends: true,
        test: {
          name: 'short',
          include: ['{apps,packages}/*/src/**/*.test.ts', '{test,scripts,deploy}/**/*.test.ts'],
          exclude: [...configDefaults.exclude, long],
        },
      },
      { extends: true, test: { name: 'long', include: [`test/${long}`] } },
    ],
  },
});
