import { describe, expect, it } from 'vitest';
import { ArithmeticError, evaluateArithmetic, formatNumber } from './arithmetic.ts';

describe('evaluateArithmetic', () => {
  it.each([
    ['12*(3+4)', 84],
    ['1 + 2 * 3 - 4 / 2', 5],
    ['10 - 3 - 2', 5],
    ['2^3^2', 512],
    ['-2^2', -4],
    ['2^-1', 0.5],
    ['--3', 3],
    ['7 % 4 * 2', 6],
    ['.5 + 1.', 1.5],
    ['1.5e3 / 3', 500],
    ['((((4))))', 4],
  ])('works out %s', (expression, value) => {
    expect(evaluateArithmetic(expression)).toBe(value);
  });

  it.each([
    ['', 'The expression is empty.'],
    ['2 +', 'Expected a number at position 4, but the expression ends.'],
    ['(1 + 2', 'Expected ")" at position 7, but the expression ends.'],
    ['2 x 3', 'Expected an operator at position 3, but found "x".'],
    ['process.exit()', 'Expected a number at position 1, but found "p".'],
    ['1 / 0', 'Division by zero.'],
    ['5 % 0', 'Division by zero.'],
    ['(-8)^(1/3)', 'The result is not a real number.'],
    ['10^999', 'The result is too large.'],
    [`${'('.repeat(2_000)}1`, 'The expression is longer than 1000 characters.'],
  ])('refuses %s', (expression, message) => {
    expect(() => evaluateArithmetic(expression)).toThrow(new ArithmeticError(message));
  });

  it('takes the deepest nesting that fits', () => {
    expect(evaluateArithmetic(`${'('.repeat(499)}1${')'.repeat(499)}`)).toBe(1);
  });
});

describe('formatNumber', () => {
  it('writes numbers as a person would', () => {
    expect([0.1 + 0.2, -0, 84, 1 / 3].map(formatNumber)).toEqual(['0.3', '0', '84', '0.333333333333333']);
  });
});
