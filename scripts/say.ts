/** Where the scripts tell people something. One function, so that tests can listen instead. */
export type Say = (line: string) => void;

export const say: Say = (line) => {
  process.stdout.write(`${line}\n`);
};

export const complain: Say = (line) => {
  process.stderr.write(`${line}\n`);
};

/** Something the person at the keyboard can put right: shown as it is, without a stack. */
export class UserError extends Error {
  override name = 'UserError';
}

/** A closed terminal or pipe must not end the launcher before it has stopped what it started. */
export function survivesLostOutput(): void {
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
}
