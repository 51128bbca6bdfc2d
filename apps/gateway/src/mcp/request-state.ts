import { createHash } from 'node:crypto';
import type { JsonObject } from '@millrace/shared/contract/json';
import {
  createRequestStateCodec,
  ProtocolError,
  ProtocolErrorCode,
  type RequestStateCodec,
  type ServerContext,
} from '@modelcontextprotocol/server';
import type { Services } from '../services.ts';

/** How long a client may take to bring its state back: a person answers in between. */
const TTL_SECONDS = 3600;

/** A call that asks something, as its client holds it until it calls again. Signed, not secret. */
export interface RequestState {
  tenant: string;
  /** The call it belongs to: tool and arguments. */
  call: string;
  /** What goes on once there is an answer; absent while nothing runs. */
  chain?: string;
  /** The keys of what was asked: no two rounds of a call look the same to its client. */
  asks?: string[];
}

/** Signs requests' state, and takes it back from whichever gateway has signed it. */
export class RequestStates {
  readonly #services: Services;
  #codec: { secret: string; codec: RequestStateCodec<RequestState> } | undefined;

  constructor(services: Services) {
    this.#services = services;
  }

  async sign(state: RequestState): Promise<string> {
    return (await this.#current()).mint(state);
  }

  /** @throws Error when it was altered, has expired, or is another tenant's */
  async verify(text: string, tenant: string, context: ServerContext): Promise<RequestState> {
    const state = await (await this.#current()).verify(text, context);
    if (state.tenant !== tenant) throw new Error("another tenant's");
    return state;
  }

  async #current(): Promise<RequestStateCodec<RequestState>> {
    // Asked for each time: should Redis lose it, all gateways go on with the same new one.
    const secret = await this.#services.signingSecret();
    if (this.#codec?.secret !== secret) {
      const codec = createRequestStateCodec<RequestState>({ key: secret, ttlSeconds: TTL_SECONDS });
      this.#codec = { secret, codec };
    }
    return this.#codec.codec;
  }
}

/** Names a call, so that the state of one cannot be brought along with another. */
export function callId(tool: string, args: JsonObject): string {
  return createHash('sha256')
    .update(JSON.stringify([tool, args]))
    .digest('base64url');
}

/** @throws ProtocolError when the state belongs to another call */
export function checkCall(state: RequestState, call: string): void {
  if (state.call === call) return;
  throw new ProtocolError(
    ProtocolErrorCode.InvalidParams,
    'The requestState belongs to another call; send the same tool and arguments again, or leave it out',
  );
}
