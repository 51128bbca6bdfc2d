-- A thread's runs in their order, and the bell for the one whose turn it is.

local function head_of(thread_key)
  return redis.call('LINDEX', key.mailbox(thread_key), 0)
end

local function job_of(run_id)
  local delivery, queue = unpack(redis.call('HMGET', key.run(run_id), 'delivery', 'queue'))
  return { run_id .. '-' .. (delivery or 0), queue }
end

-- A run that may execute now gets a delivery of its own. The outbox keeps it until it is claimed, at the time it is to
-- be rung (again): a job that the queue has lost is as bad as one it never had.
-- Returns what the caller needs to ring: job id and queue.
local function ready(run_id)
  redis.call('HINCRBY', key.run(run_id), 'delivery', 1)
  redis.call('HSET', key.run(run_id), 'updatedAt', NOW_MS)
  local job = job_of(run_id)
  redis.call('ZADD', key.outbox(), NOW_MS, job[1])
  return job
end

local function not_ready(run_id)
  redis.call('ZREM', key.outbox(), job_of(run_id)[1])
end

local function promote(thread_key)
  local head = head_of(thread_key)
  if not head then return {} end
  return ready(head)
end
