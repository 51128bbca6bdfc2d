const names = new Set([
  'MaxRetriesPerRequestError',
  'ClusterAllFailedError',
  'StorageRefusal',
  'NotReplicated',
]);

const codes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/** What ioredis says when it cannot send, and what Redis says when it cannot serve just now. */
const messages = [
  /^Command timed out/,
  /^Stream isn't writeable/,
  /^Connection is closed/,
  /^Command aborted/,
  /^Cluster isn't ready/,
  /^Cluster is ended/,
  /^Too many Cluster redirections/,
  /^None of startup nodes is available/,
  /^No subscriber for the cluster/,
  /\b(?:READONLY|LOADING|OOM|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|MISCONF|BUSY)\b/,
];

/** Whether Redis could not be reached or would not serve; the same request may succeed a little later. */
export function isRedisFault(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (names.has(error.name)) return true;
  if ('code' in error && typeof error.code === 'string' && codes.has(error.code)) return true;
  return messages.some((pattern) => pattern.test(error.message));
}
