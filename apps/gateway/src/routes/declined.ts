import { Refusal } from '@millrace/shared/contract/error';
import type { Hono } from 'hono';
import type { HttpEnv } from '../http/env.ts';

/** Answers routes of the Agent Server that are not served with the reason, not with "not found". */
export function decline(app: Hono<HttpEnv>, routes: Record<string, string>): void {
  for (const [route, reason] of Object.entries(routes)) {
    const [method = '', path = ''] = route.split(' ');
    app.on(method, path, () => {
      throw new Refusal('unsupported', reason);
    });
  }
}
