/** What several sources give, as it comes. Each is asked for its next value only when its last one was taken. */
export async function* merge<T>(sources: AsyncGenerator<T, void>[]): AsyncGenerator<T, void> {
  const come: { source: AsyncGenerator<T, void>; result: IteratorResult<T, void> }[] = [];
  let wake = () => {};
  let fault: { error: unknown } | undefined;
  // Not Promise.race: on a source that is silent for long, each race would leave something hanging.
  const ask = (source: AsyncGenerator<T, void>) =>
    void source
      .next()
      .then(
        (result) => come.push({ source, result }),
        (error: unknown) => {
          fault = { error };
        },
      )
      .then(() => wake());
  let open = sources.length;
  for (const source of sources) ask(source);
  try {
    while (open > 0) {
      const next = come.shift();
      if (fault) throw fault.error;
      if (!next) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      } else if (next.result.done) {
        open -= 1;
      } else {
        yield next.result.value;
        ask(next.source);
      }
    }
  } finally {
    for (const source of sources) void source.return().catch(() => undefined);
  }
}
