/** What is wrong with an expression: `message` says it in words that a person or a model can act on. */
export class ArithmeticError extends Error {
  override readonly name = 'ArithmeticError';
}

/** Longer expressions are refused: nobody types them, and each `(` costs a stack frame. */
const LONGEST = 1_000;
const NUMBER = /(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/y;
const SPACE = /\s*/y;

/**
 * The value of an arithmetic expression: numbers, `+ - * / % ^`, parentheses, unary plus and minus.
 * `^` binds tightest and to the right, so that `-2^2` is -4 and `2^3^2` is 512. Nothing is ever evaluated as code.
 * @throws {ArithmeticError} naming the place of a syntax error, or saying why there is no finite value.
 */
export function evaluateArithmetic(expression: string): number {
  if (expression.length > LONGEST) {
    throw new ArithmeticError(`The expression is longer than ${LONGEST} characters.`);
  }
  const value = new Parser(expression).parse();
  if (!Number.isFinite(value)) throw new ArithmeticError('The result is too large.');
  return value;
}

/**
 * A number the way a person would write it: the noise of binary fractions is rounded away (0.1+0.2 is 0.3), -0 is 0.
 */
export function formatNumber(value: number): string {
  const rounded = Number.isSafeInteger(value) ? value : Number(value.toPrecision(15));
  return String(rounded === 0 ? 0 : rounded);
}

class Parser {
  private readonly text: string;
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  parse(): number {
    if (this.peek() === '') throw new ArithmeticError('The expression is empty.');
    const value = this.sum();
    if (this.peek() !== '') throw this.unexpected('an operator');
    return value;
  }

  private sum(): number {
    let value = this.product();
    for (let operator = this.peek(); operator === '+' || operator === '-'; operator = this.peek()) {
      this.at += 1;
      const right = this.product();
      value = operator === '+' ? value + right : value - right;
    }
    return value;
  }

  private product(): number {
    let value = this.signed();
    for (
      let operator = this.peek();
      operator === '*' || operator === '/' || operator === '%';
      operator = this.peek()
    ) {
      this.at += 1;
      const right = this.signed();
      if (operator === '*') value *= right;
      else if (right === 0) throw new ArithmeticError('Division by zero.');
      else value = operator === '/' ? value / right : value % right;
    }
    return value;
  }

  private signed(): number {
    const sign = this.peek();
    if (sign !== '+' && sign !== '-') return this.power();
    this.at += 1;
    const value = this.signed();
    return sign === '-' ? -value : value;
  }

  private power(): number {
    const base = this.atom();
    if (this.peek() !== '^') return base;
    this.at += 1;
    // The exponent may carry a sign (`2^-1`) and is itself a power (`2^3^2`).
    const value = base ** this.signed();
    if (Number.isNaN(value)) throw new ArithmeticError('The result is not a real number.');
    return value;
  }

  private atom(): number {
    if (this.peek() === '(') {
      this.at += 1;
      const value = this.sum();
      if (this.peek() !== ')') throw this.unexpected('")"');
      this.at += 1;
      return value;
    }
    NUMBER.lastIndex = this.at;
    const found = NUMBER.exec(this.text);
    if (found === null) throw this.unexpected('a number');
    this.at = NUMBER.lastIndex;
    return Number(found[0]);
  }

  /** The next character that is not a space, without taking it; empty at the end. */
  private peek(): string {
    SPACE.lastIndex = this.at;
    SPACE.exec(this.text);
    this.at = SPACE.lastIndex;
    return this.text.charAt(this.at);
  }

  private unexpected(wanted: string): ArithmeticError {
    const found = this.peek();
    const what = found === '' ? 'the expression ends' : `found "${found}"`;
    return new ArithmeticError(`Expected ${wanted} at position ${this.at + 1}, but ${what}.`);
  }
}
