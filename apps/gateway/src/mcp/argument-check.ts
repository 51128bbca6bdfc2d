import type { JsonObject } from '@millrace/shared/contract/json';
import type { Logger } from '@millrace/shared/logger';
import type { JsonSchemaType, Tool } from '@modelcontextprotocol/server';
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/server/validators/ajv';

/** @returns what is wrong, in words that name the fields; undefined when nothing is */
type Check = (args: JsonObject) => string | undefined;

/** Checks arguments against tools' input schemas. Compiled once for each schema: compiling costs milliseconds. */
export class ArgumentCheck {
  readonly #logger: Logger;
  /** By tool name, so that a graph's new schema takes the place of the old one. */
  readonly #compiled = new Map<string, { schema: string; check: Check }>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** @returns what is wrong, in words that name the fields; undefined when nothing is */
  faultOf(tool: Tool, args: JsonObject): string | undefined {
    const schema = JSON.stringify(tool.inputSchema);
    let known = this.#compiled.get(tool.name);
    if (known?.schema !== schema) {
      known = { schema, check: this.#compile(tool) };
      this.#compiled.set(tool.name, known);
    }
    return known.check(args);
  }

  #compile(tool: Tool): Check {
    const known = new Set(Object.keys(tool.inputSchema.properties ?? {}));
    const isClosed = tool.inputSchema.additionalProperties === false;
    try {
      // One for each schema: two graphs may use the same `$id` for different things.
      const validate = new AjvJsonSchemaValidator().getValidator(tool.inputSchema as JsonSchemaType);
      return (args) => {
        const strange = isClosed ? Object.keys(args).filter((name) => !known.has(name)) : [];
        if (strange.length > 0) {
          return `${strange.join(', ')}: not known here; there are: ${[...known].join(', ')}`;
        }
        const outcome = validate(args);
        return outcome.valid ? undefined : inWords(outcome.errorMessage);
      };
    } catch (error) {
      this.#logger.warn(
        { err: error, tool: tool.name },
        'the input schema cannot be checked; the graph itself says what it does not take',
      );
      return () => undefined;
    }
  }
}

/** `data/thread_id must be string` → `thread_id must be string`. */
function inWords(errors: string): string {
  return errors.replaceAll(/(^|, )data(?:\/(\S+))? must/g, (_, start: string, path: string | undefined) =>
    path === undefined ? `${start}the arguments must` : `${start}${path.replaceAll('/', '.')} must`,
  );
}
