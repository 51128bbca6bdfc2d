-- Takes the thread's lease for a run. ARGV: run, worker, nonce, lease ms, crash budget, and what the caller knows of
-- the checkpoint store: its fence token, and its head ('?' when it has not looked), '1' when the run would have the worker to
-- itself, and the newest version of records it can read. Whoever gets no lease acknowledges the delivery and goes away. A
-- run that was ended in place of its holder is `ended` to whoever comes, with the token to raise, and '1' for the claim that
-- ended it.

local run_id, worker, nonce, lease_ms, budget = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local store_token, store_head, alone = tonumber(ARGV[6]), ARGV[7], ARGV[8] == '1'
local run = key.run(run_id)
local r = redis.call('HMGET', run, 'status', 'threadKey', 'chain', 'crashes', 'head', 'answers', 'cancel', 'tenant', 'thread', 'kind', 'continues', 'version')
local status, thread_key, chain_id, crashes, last_head = r[1], r[2], r[3], tonumber(r[4]), r[5]

if not status or TERMINAL[status] then
  local fence = redis.call('HGET', run, 'fence')
  if fence then return { 'ended', {}, fence, r[8], r[9] } end
  return { 'over' }
end
if head_of(thread_key) ~= run_id then
  not_ready(run_id)
  return { 'not_head' }
end

-- A later release has stored it, and has workers that know what to do with it.
if tonumber(r[12] or 1) > tonumber(ARGV[9]) then return { 'later' } end

local lease = key.lease(thread_key)
local l = redis.call('HMGET', lease, 'token', 'run', 'deadline', 'nonce', 'alone')
-- The same holder may claim again: its token was not high enough for the checkpoint store.
local again = l[2] == run_id and l[4] == nonce
if not again and l[2] and l[2] ~= '' then
  -- After an outage every lease looks expired; whose is, a sweeper finds out.
  local unchecked = may_live(lease, last_swept()) and redis.call('ZSCORE', key.leases(), l[2])
  if tonumber(l[3]) > NOW_MS or unchecked then return { 'leased' } end
end

local token = math.max(tonumber(l[1] or '0') + 1, store_token + 1, NOW_US)

-- The lease names this run still: its holder went without handing back. Whether it got anywhere before is for the
-- head checkpoint to say.
local died = l[2] == run_id and not again
-- A deletion that is given up would leave a thread that can neither be used nor deleted, a rollback one that is half taken
-- back. Neither calls a graph.
local removes = r[10] == 'delete_thread' or r[10] == 'rollback'
if died then
  if store_head == '?' then return { 'look', r[8], r[9] } end
  if last_head and last_head ~= store_head then crashes = 0 end
  -- In company another may have killed the worker: such a crash does not use up the budget.
  crashes = crashes + 1
  if l[5] ~= '1' and budget > 0 then crashes = math.min(crashes, budget) end
  if r[7] then
    fence_off(run_id, thread_key, token)
    return { 'ended', end_run(run_id, token, 'cancelled', {}, '{"status":"cancelled"}'), int(token), r[8], r[9], '1' }
  end
  if crashes > budget and not removes then
    local err = '{"code":"crash_budget","message":"The worker died ' .. crashes ..
      ' times at the same checkpoint; the run is not tried again."}'
    fence_off(run_id, thread_key, token)
    return { 'ended', end_run(run_id, token, 'failed', { 'error', err }, '{"status":"failed","error":' .. err .. '}'),
      int(token), r[8], r[9], '1' }
  end
end

-- The last try shows who it is, and harms nobody else.
if crashes >= budget and crashes > 0 and not alone and not removes then return { 'last_try' } end
if died then redis.call('HSET', run, 'crashes', crashes, 'head', store_head) end

-- Accepted when nothing was asked. Going on now would answer what the run before it asks.
if r[11] == '1' and redis.call('HGET', key.thread(thread_key), 'parked') then
  local err = '{"code":"invalid_input","message":"The thread waits for an answer; answer it to go on."}'
  fence_off(run_id, thread_key, token)
  return { 'ended', end_run(run_id, token, 'failed', { 'error', err }, '{"status":"failed","error":' .. err .. '}'),
    int(token), r[8], r[9], '1' }
end

if r[6] == '' and r[10] ~= 'update_state' and r[10] ~= 'rollback' then unpark(thread_key, 'superseded') end

redis.call('HSET', lease, 'token', int(token), 'nonce', nonce, 'run', run_id, 'worker', worker,
  'deadline', NOW_MS + lease_ms, 'lasts', lease_ms, 'ordinal', 0, 'alone', alone and '1' or '', 'spared', '')
redis.call('PERSIST', lease)
redis.call('ZADD', key.leases(), NOW_MS + lease_ms, run_id)
not_ready(run_id)
redis.call('HSETNX', run, 'startedAt', NOW_MS)
redis.call('HSET', run, 'status', 'running', 'updatedAt', NOW_MS)
local attempt = redis.call('HINCRBY', run, 'attempt', again and 0 or 1)
local known = redis.call('HMGET', run, 'base', 'request', 'usedMs', 'createdAt', 'startedAt', 'baseStep', 'target')
known[8] = redis.call('HGET', key.chain(chain_id), 'effects')
return { 'claimed', int(token), attempt, chain_id, r[8], r[9], unpack(known, 1, 8) }
