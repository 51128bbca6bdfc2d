/**
 * What the beginning of a JSON text says so far: open strings, arrays and objects are closed, and what is half a
 * word is left out. Undefined when that makes no JSON.
 */
export function parseJsonPrefix(text: string): unknown {
  const { closers, inString, safe } = scan(text);
  for (const candidate of [text + (inString ? '"' : '') + closers, safe]) {
    try {
      return JSON.parse(candidate);
    } catch {
      // The next one has less of the text.
    }
  }
  return undefined;
}

interface Scan {
  /** What closes all that is open at the end. */
  closers: string;
  inString: boolean;
  /** The longest beginning that ends at a complete value, closed. */
  safe: string;
}

function scan(text: string): Scan {
  let closers = '';
  let safe = '';
  let inString = false;
  let escaped = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (inString) {
      if (escaped) escaped = false;
      else if (char === '\\') escaped = true;
      else if (char === '"') inString = false;
      continue;
    }
    if (char === '"') inString = true;
    else if (char === '{' || char === '[') {
      closers = (char === '{' ? '}' : ']') + closers;
      safe = text.slice(0, i + 1) + closers;
    } else if (char === '}' || char === ']') {
      closers = closers.slice(1);
      safe = text.slice(0, i + 1) + closers;
    } else if (char === ',') safe = text.slice(0, i) + closers;
  }
  return { closers, inString, safe };
}
