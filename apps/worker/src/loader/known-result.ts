/**
 * Thrown before a tool is called whose result is known already. Where the tool's class was mended (see
 * {@link deliverKnownResults}) the caller gets that result; elsewhere the error, whose message must then do.
 */
export class KnownResult extends Error {
  override readonly name = 'KnownResult';
  readonly known: { output: unknown } | { result: unknown };

  /** @param known `output` is what the call returned before, `result` what the tool's own function is to return */
  constructor(known: KnownResult['known']) {
    super(
      'result' in known
        ? `The tool was not called. It is said to have returned: ${JSON.stringify(known.result)}`
        : 'The tool was called before, and is not called again.',
    );
    this.known = known;
  }
}

interface Tool {
  responseFormat?: string;
}

interface ToolPrototype {
  call: (this: Tool, argument: unknown, config?: object, tags?: string[]) => Promise<unknown>;
}

const mended = new WeakSet<object>();

/**
 * Makes tools of one copy of LangChain return what a {@link KnownResult} has for them. A callback can keep a tool from
 * being called, and nothing else; what it throws would reach the model as an error, and a model that reads of an error
 * calls again.
 *
 * @param StructuredTool the class that all tools of that copy extend
 */
export function deliverKnownResults(StructuredTool: { prototype: object }): void {
  const prototype = StructuredTool.prototype as ToolPrototype;
  if (mended.has(prototype)) return;
  mended.add(prototype);
  const original = prototype.call;
  prototype.call = async function (argument, config, tags) {
    try {
      return await original.call(this, argument, config, tags);
    } catch (error) {
      if (!(error instanceof KnownResult)) throw error;
      if ('output' in error.known) return error.known.output;
      const { result } = error.known;
      const content = this.responseFormat === 'content_and_artifact' ? [result, undefined] : result;
      // The tool itself makes a message of it, as it would of its own function's result.
      const standIn = Object.create(this, { _call: { value: async () => content } });
      return original.call(standIn, argument, { ...config, callbacks: undefined }, tags);
    }
  };
}
