-- Takes the thread's lease for a run. ARGV: run, worker, nonce, lease ms, crash budget, and what the caller knows of
-- the checkpoint store: its fence token, and its head ('?' when it has not looked). Whoever gets no lease
-- acknowledges the delivery and goes away.

local run_id, worker, nonce, lease_ms, budget = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local store_token, store_head = tonumber(ARGV[6]), ARGV[7]
local run = key.run(run_id)
local r = redis.call('HMGET', run, 'status', 'threadKey', 'chain', 'crashes', 'head', 'answers', 'cancel', 'tenant', 'thread')
local status, thread_key, chain_id, crashes, last_head = r[1], r[2], r[3], tonumber(r[4]), r[5]

if not status or TERMINAL[status] then return { 'over' } end
if head_of(thread_key) ~= run_id then return { 'not_head' } end

local lease = key.lease(thread_key)
local l = redis.call('HMGET', lease, 'token', 'run', 'deadline', 'nonce')
-- The same holder may claim again: its token was not high enough for the checkpoint store.
local again = l[2] == run_id and l[4] == nonce
if not again and l[2] and l[2] ~= '' then
  -- After an outage every lease looks expired. The sweeper tells the dead from those who could not renew.
  if tonumber(l[3]) > NOW_MS or was_away() then return { 'leased' } end
end

local token = math.max(tonumber(l[1] or '0') + 1, store_token + 1, NOW_US)

-- The lease names this run still: its holder went without handing back. Whether it got anywhere before is for the
-- head checkpoint to say.
if l[2] == run_id and not again then
  if store_head == '?' then return { 'look', r[8], r[9] } end
  if last_head and last_head ~= store_head then crashes = 0 end
  crashes = crashes + 1
  redis.call('HSET', run, 'crashes', crashes)
  if r[7] then
    redis.call('HSET', lease, 'token', int(token))
    return { 'ended', end_run(run_id, token, 'cancelled', {}, '{"status":"cancelled"}') }
  end
  if crashes > budget then
    local err = '{"code":"crash_budget","message":"The worker died ' .. crashes ..
      ' times at the same checkpoint; the run is not tried again."}'
    redis.call('HSET', lease, 'token', int(token))
    return { 'ended', end_run(run_id, token, 'failed', { 'error', err }, '{"status":"failed","error":' .. err .. '}') }
  end
end

if r[6] == '' then unpark(thread_key, 'superseded') end

redis.call('HSET', lease, 'token', int(token), 'nonce', nonce, 'run', run_id, 'worker', worker,
  'deadline', NOW_MS + lease_ms, 'lasts', lease_ms, 'ordinal', 0)
redis.call('PERSIST', lease)
redis.call('ZADD', key.leases(), NOW_MS + lease_ms, run_id)
redis.call('HSETNX', run, 'startedAt', NOW_MS)
redis.call('HSET', run, 'status', 'running', 'updatedAt', NOW_MS)
local attempt = redis.call('HINCRBY', run, 'attempt', again and 0 or 1)
local known = redis.call('HMGET', run, 'base', 'request', 'usedMs', 'createdAt', 'startedAt')
return { 'claimed', int(token), attempt, chain_id, r[8], r[9], unpack(known, 1, 5) }
