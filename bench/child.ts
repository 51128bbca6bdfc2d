/** Ends this process, in order, when it is told to or when whoever started it is gone. */
export function leaveWithParent(close: () => Promise<unknown> | unknown): void {
  let leaving = false;
  const leave = async () => {
    if (leaving) return;
    leaving = true;
    try {
      await close();
    } finally {
      process.exit(0);
    }
  };
  process.once('SIGTERM', leave);
  process.stdin.once('end', leave).resume();
}
