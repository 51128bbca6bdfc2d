/** The class of a graph, or of what it extends, that defines this method itself. */
export function prototypeWith(graph: object, method: string): object | undefined {
  for (let at = Object.getPrototypeOf(graph); at; at = Object.getPrototypeOf(at)) {
    if (Object.hasOwn(at, method)) return at;
  }
  return undefined;
}
