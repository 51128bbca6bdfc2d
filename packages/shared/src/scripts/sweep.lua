-- What time alone brings about in this partition. ARGV: most entries of each kind, age in ms at which an unrung
-- job is rung again. Returns the jobs to ring (job, queue, job, queue, …) and the threads to delete.

local limit, ring_after = tonumber(ARGV[1]), tonumber(ARGV[2])
local jobs = {}

-- The caller rings these now; the outbox has them in case it does not.
local function ring(run_id)
  for _, part in ipairs(ready(run_id)) do jobs[#jobs + 1] = part end
end

for _, run_id in ipairs(redis.call('ZRANGEBYSCORE', key.due(), '-inf', NOW_MS, 'LIMIT', 0, limit)) do
  redis.call('ZREM', key.due(), run_id)
  local thread_key, status, answers = unpack(redis.call('HMGET', key.run(run_id), 'threadKey', 'status', 'answers'))
  if status == 'queued' then
    local mailbox = key.mailbox(thread_key)
    -- A run that was handed back for later has kept its place.
    if not redis.call('LPOS', mailbox, run_id) then
      if answers == '' then unpark(thread_key, 'superseded') end
      redis.call('RPUSH', mailbox, run_id)
      call_thread(thread_key)
    end
    if head_of(thread_key) == run_id then ring(run_id) end
  end
end

local swept = last_swept()
local spared = 0
for _, run_id in ipairs(redis.call('ZRANGEBYSCORE', key.leases(), '-inf', NOW_MS, 'LIMIT', 0, limit)) do
  redis.call('ZREM', key.leases(), run_id)
  local lease = key.lease(redis.call('HGET', key.run(run_id), 'threadKey') or '')
  if may_live(lease, swept) then
    spare(lease, run_id)
    spared = spared + 1
  elseif redis.call('HGET', key.run(run_id), 'status') == 'running' then
    -- The lease itself stays: its holder may yet come back before anybody else claims.
    redis.call('HSET', key.run(run_id), 'status', 'queued', 'updatedAt', NOW_MS)
    ring(run_id)
  end
end
-- After an outage nobody has looked at those that are left.
if spared < limit then redis.call('SET', key.swept(), NOW_MS) end

for _, job in ipairs(redis.call('ZRANGEBYSCORE', key.outbox(), '-inf', NOW_MS - ring_after, 'LIMIT', 0, limit)) do
  local run_id = string.sub(job, 1, 36)
  local queue, status, delivery = unpack(redis.call('HMGET', key.run(run_id), 'queue', 'status', 'delivery'))
  -- Only the newest delivery: an older one would make the run count twice.
  if status == 'queued' and job == run_id .. '-' .. delivery then
    -- Pushed back, so that not every gateway rings at once; further when it has rung (see RunStore.rung).
    redis.call('ZADD', key.outbox(), NOW_MS, job)
    jobs[#jobs + 1] = job
    jobs[#jobs + 1] = queue
  else
    redis.call('ZREM', key.outbox(), job)
  end
end

local expired = redis.call('ZRANGEBYSCORE', key.expiry(), '-inf', NOW_MS, 'LIMIT', 0, limit)
local threads = {}
for _, thread_key in ipairs(expired) do
  if redis.call('LLEN', key.mailbox(thread_key)) > 0 then
    redis.call('ZADD', key.expiry(), NOW_MS + 60000, thread_key)
  else
    local tenant, id = unpack(redis.call('HMGET', key.thread(thread_key), 'tenant', 'id'))
    if id then threads[#threads + 1] = tenant; threads[#threads + 1] = id
    else redis.call('ZREM', key.expiry(), thread_key) end
  end
end
return { jobs, threads }
