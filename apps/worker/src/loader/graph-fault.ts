/** Why a graph, or the configuration as a whole, cannot be loaded. */
export interface GraphFault {
  /** The graph's name; absent when the configuration itself is at fault. */
  graph?: string;
  message: string;
  /** What to do about it. */
  remedy: string;
}

/** Everything that keeps a worker from loading its graphs, in one error. */
export class GraphLoadError extends Error {
  override readonly name = 'GraphLoadError';
  readonly faults: readonly GraphFault[];

  constructor(configFile: string, faults: readonly GraphFault[]) {
    const lines = faults.map(({ graph, message, remedy }) => {
      return `- ${graph === undefined ? 'the file' : `graph "${graph}"`}: ${message}; ${remedy}.`;
    });
    super(`The graphs of ${configFile} cannot be loaded:\n${lines.join('\n')}`);
    this.faults = faults;
  }
}
