import { type JSONRPCMessage, SdkHttpError, type Transport } from '@modelcontextprotocol/client';

/** What the bridge answers itself: the gateway has not. */
const INTERNAL_ERROR = -32603;

type Request = Extract<JSONRPCMessage, { id: string | number; method: string }>;
type RequestId = Request['id'];

/** A host that speaks over a pipe, and a gateway that speaks HTTP. */
export interface Bridge {
  /** Hands messages on until the host is done. */
  run: () => Promise<void>;
}

/**
 * Hands each message on as it is. There is no session on either side, so a gateway may go and come back between two requests,
 * and any revision passes: headers that 2026-07-28 wants are made of each message by the transport.
 *
 * @param host of the SDK's server, over standard input and output
 * @param gateway of the SDK's client; takes one POST for each message
 * @param address where the gateway is, for errors
 * @param complain takes what nobody asked for: it must not go to standard output
 */
export function bridge(
  host: Transport,
  gateway: Transport,
  address: string,
  complain: (line: string) => void,
): Bridge {
  const open = new Map<RequestId, { aborted: AbortController; initializes: boolean }>();

  const toHost = (message: JSONRPCMessage) => {
    host.send(message).catch((error: unknown) => complain(`an answer was lost: ${reasonOf(error)}`));
  };
  const fail = (id: RequestId, error: { code: number; message: string; data?: unknown }) => {
    if (open.delete(id)) toHost({ jsonrpc: '2.0', id, error });
  };

  async function request(message: Request): Promise<void> {
    const { id } = message;
    const aborted = new AbortController();
    open.set(id, { aborted, initializes: message.method === 'initialize' });
    try {
      await gateway.send(message, {
        requestSignal: aborted.signal,
        onRequestStreamEnd: () => fail(id, brokenOff(address)),
      });
    } catch (error) {
      fail(id, errorOf(error, id, address));
    }
  }

  function cancelled(id: unknown): void {
    const one = open.get(id as RequestId);
    open.delete(id as RequestId);
    // A closed connection is how HTTP says it, in every revision: any gateway may get a notification.
    one?.aborted.abort();
  }

  host.onmessage = (message) => {
    if ('method' in message && 'id' in message) void request(message);
    else if ('method' in message && message.method === 'notifications/cancelled') {
      cancelled(message.params?.requestId);
    } else {
      gateway.send(message).catch((error: unknown) => complain(reasonOf(error)));
    }
  };

  gateway.onmessage = (message) => {
    if ('method' in message) return toHost(message);
    const one = open.get(message.id as RequestId);
    // Taken back, or answered.
    if (!one) return;
    open.delete(message.id as RequestId);
    if (one.initializes && 'result' in message) {
      const { protocolVersion } = message.result as { protocolVersion?: unknown };
      if (typeof protocolVersion === 'string') gateway.setProtocolVersion?.(protocolVersion);
    }
    toHost(message);
  };

  // What concerns a request is its answer.
  gateway.onerror = () => undefined;
  host.onerror = (error) => complain(`not a message: ${error.message}`);

  return {
    run: async () => {
      const done = new Promise<void>((resolve) => {
        host.onclose = resolve;
      });
      await gateway.start();
      await host.start();
      await done;
      open.clear();
      await gateway.close();
    },
  };
}

function errorOf(error: unknown, id: RequestId, address: string) {
  if (error instanceof SdkHttpError) return httpErrorOf(error, id, address);
  const reason = reasonOf(error);
  return {
    code: INTERNAL_ERROR,
    message: `The gateway at ${address} cannot be reached (${reason}); is it running?`,
    data: { code: 'unreachable' },
  };
}

/** The gateway's own error where it has one: some come with a status that the transport takes for a failure. */
function httpErrorOf(error: SdkHttpError, id: RequestId, address: string) {
  const { status, text } = error.data;
  const body = parsed(text);
  const own = body?.error as { code: number; message: string; data?: unknown } | undefined;
  if (typeof own?.code === 'number' && (body?.id === id || body?.id === null || body?.id === undefined))
    return own;
  const detail = typeof body?.detail === 'string' ? body.detail : undefined;
  if (status === 401 || status === 403) {
    return {
      code: INTERNAL_ERROR,
      message: `The gateway at ${address} refuses (${status}): ${detail ?? 'no access'}. The key is taken from MILLRACE_API_KEY`,
      data: { code: 'unauthorized', status },
    };
  }
  return {
    code: INTERNAL_ERROR,
    message: `${address} answered ${status}: ${detail ?? 'that is no gateway’s /mcp'}`,
    data: { code: typeof body?.code === 'string' ? body.code : 'unexpected', status },
  };
}

function brokenOff(address: string) {
  return {
    code: INTERNAL_ERROR,
    message: `The gateway at ${address} broke off before it had answered; a run that was accepted goes on`,
    data: { code: 'broken_off' },
  };
}

function parsed(text: unknown): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(String(text));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** `fetch` says no more than that it failed; why is in the cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  const { code, message: inner } = (cause ?? {}) as { code?: string; message?: string };
  return code ?? inner ?? message;
}
