import type { Logger } from '@millrace/shared/logger';
import type { Span } from '@millrace/shared/tracing';
import type { StreamMetrics } from '../metrics.ts';

/** What the middleware knows of a request by the time a route runs. */
export interface HttpEnv {
  Variables: {
    /** Who the caller's credentials say they are. */
    tenant: string;
    /** Also in the `X-Request-Id` header and every log line of the request. */
    requestId: string;
    logger: Logger;
    streams: StreamMetrics;
    span: Span;
  };
}
