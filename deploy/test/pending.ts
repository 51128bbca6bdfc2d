/**
 * Metrics that rules and dashboards use and that the apps do not have yet. To be empty: a test fails for each name that
 * the apps have by now, so that none is forgotten here.
 */
export const PENDING_METRICS: readonly string[] = [
  'millrace_attempts_total',
  'millrace_checkpoint_bytes_total',
  'millrace_checkpoint_writes_total',
  'millrace_crashes_total',
  'millrace_dead_letters',
  'millrace_held_runs',
  'millrace_model_call_duration_seconds',
  'millrace_model_calls_total',
  'millrace_model_cost_usd_total',
  'millrace_model_tokens_total',
  'millrace_outbox_runs',
  'millrace_redis_aof_enabled',
  'millrace_redis_aof_last_write_ok',
  'millrace_redis_connected_clients',
  'millrace_redis_memory_max_bytes',
  'millrace_redis_memory_used_bytes',
  'millrace_redis_noeviction',
  'millrace_runs_claimed_total',
  'millrace_runs_ended_total',
  'millrace_runs_submitted_total',
  'millrace_stream_events_sent_total',
  'millrace_streams_open',
  'millrace_tenant_open_runs',
  'millrace_tool_calls_total',
  'millrace_worker_draining',
  'millrace_worker_slots',
  'nodejs_eventloop_lag_p99_seconds',
];

/** Paths that autoscalers ask and that the gateway does not serve yet; as above. */
export const PENDING_PATHS: readonly string[] = ['/scale/default'];
