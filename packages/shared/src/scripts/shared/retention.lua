-- How long things are kept that are over.

-- How long the record of a state edit, a rollback or a deletion is kept, once it is over.
local CONTROL_RETENTION_MS = 3600 * 1000

-- Removes what is stored of a run; of its chain, too, when no later run is in it.
local function forget_run(thread_key, run_id)
  local chain_id, tenant = unpack(redis.call('HMGET', key.run(run_id), 'chain', 'tenant'))
  if tenant then unbury(run_id, tenant) end
  if chain_id and redis.call('HGET', key.chain(chain_id), 'newestRun') == run_id then forget_chain(chain_id, tenant) end
  redis.call('UNLINK', key.run(run_id), key.events(run_id))
  redis.call('ZREM', key.threadRuns(thread_key), run_id)
  redis.call('ZREM', key.finished(thread_key), run_id)
end

-- What one script removes of a thread's oldest runs; more than one, so that a limit that was lowered is reached.
local FORGET_BUDGET = 4

-- Only the newest finished runs of a thread are kept, as many as its newest submit said; 0 keeps all.
local function keep_newest(thread_key, run_id)
  local most = tonumber(redis.call('HGET', key.thread(thread_key), 'runsKept') or '0')
  if most <= 0 then return end
  local finished = key.finished(thread_key)
  redis.call('ZADD', finished, int(NOW_US), run_id)
  local excess = math.min(redis.call('ZCARD', finished) - most, FORGET_BUDGET)
  if excess <= 0 then return end
  for _, id in ipairs(redis.call('ZRANGE', finished, 0, excess - 1)) do forget_run(thread_key, id) end
end

-- The retention of a finished run, as its submitter's gateway has it; 0 keeps. One that waits for answers is not finished. Who
-- holds a task was told how long that is kept, however many come after it.
local function retain(run_id, chain_id)
  local ms, kind, thread_key = unpack(redis.call('HMGET', key.run(run_id), 'retention', 'kind', 'threadKey'))
  local is_task = chain_id and redis.call('HEXISTS', key.chain(chain_id), 'task') == 1
  if kind == 'graph' and not is_task then keep_newest(thread_key, run_id) end
  ms = tonumber(ms or '0')
  if ms <= 0 then return end
  redis.call('PEXPIRE', key.run(run_id), ms)
  redis.call('PEXPIRE', key.events(run_id), ms)
  if chain_id then redis.call('PEXPIRE', key.chain(chain_id), ms) end
end

-- `ahead_ms`: how far in the future the thread is sure to be wanted. `chain_id`: one that begins in it.
local function touch_thread(thread_key, ahead_ms, chain_id)
  local thread = key.thread(thread_key)
  redis.call('HSET', thread, 'updatedAt', NOW_MS)
  call_thread(thread_key)
  local ttl, tenant = unpack(redis.call('HMGET', thread, 'ttl', 'tenant'))
  ttl = tonumber(ttl or '0')
  if ttl > 0 then
    ttl = ttl + (ahead_ms or 0)
    redis.call('ZADD', key.expiry(), 'GT', NOW_MS + ttl, thread_key)
  end
  if tenant then keep_chains(tenant, ttl, chain_id) end
end
