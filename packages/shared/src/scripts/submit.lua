-- Accepts a run. ARGV: envelope (JSON), request (JSON text, opaque), thread metadata (JSON text, opaque).
-- Returns { outcome, run id, job, 'repeated' or '', fence }: a token to raise at the checkpoint store when a run was stopped
-- whose holder is gone. A retry of what was accepted gets the same run.

local e = cjson.decode(ARGV[1])

-- The caller made the id for this very call: the client sends a script again when its reply was lost.
if redis.call('EXISTS', key.run(e.run)) == 1 then
  -- Only a write can be waited for, by who wants replicas to have the run.
  redis.call('HSET', key.run(e.run), 'version', e.version)
  return { 'accepted', e.run, job_of(e.run) }
end

local thread, mailbox = key.thread(e.threadKey), key.mailbox(e.threadKey)

if e.idempotencyKey then
  local known = redis.call('HMGET', key.idempotency(e.idempotencyKey), 'run', 'hash')
  if known[1] then
    redis.call('PEXPIRE', key.idempotency(e.idempotencyKey), e.idempotencyTtlMs)
    if known[2] == e.bodyHash then return { 'accepted', known[1], {}, 'repeated' } end
    return { 'conflict', known[1] }
  end
end

local exists = redis.call('EXISTS', thread) == 1
if not exists and not e.createThread then return { 'no_thread' } end
if exists and redis.call('HGET', thread, 'deleting') then return { 'no_thread' } end

-- The run to be run again has been: that is the one.
local again = e.rerun and redis.call('HGET', key.run(e.rerun), 'rerun')
if again then return { 'accepted', again, {}, 'repeated' } end

local chain_id = e.run
local parked = redis.call('HGET', thread, 'parked')

-- The caller saw nothing asked; by now something is, and going on would answer it.
if e.continues and parked then return { 'stale' } end

if e.answers then
  if not parked or (e.chain and e.chain ~= parked) then return { 'stale' } end
  chain_id = parked
  local chain = key.chain(chain_id)
  local open = {}
  for _, id in ipairs(cjson.decode(redis.call('HGET', chain, 'questionIds') or '[]')) do open[id] = true end
  for _, id in ipairs(e.answers) do
    if not open[id] or redis.call('HEXISTS', chain, 'answer:' .. id) == 1 then return { 'stale' } end
    open[id] = nil
  end
  -- Some can only be answered together (see finish.lua).
  if next(open) and redis.call('HGET', chain, 'whole') == '1' then return { 'incomplete' } end
elseif redis.call('LLEN', mailbox) > 0 and e.multitask == 'reject' then
  return { 'busy' }
end

if e.rerun then
  -- Its checkpoint is no place to go on from once another run has been there, or waits to be.
  local newest = redis.call('ZREVRANGE', key.threadRuns(e.threadKey), 0, 0)[1]
  if newest ~= e.rerun or redis.call('LLEN', mailbox) > 0 then return { 'moved' } end
  chain_id = redis.call('HGET', key.run(e.rerun), 'chain')
end

if not exists then
  redis.call('HSET', thread, 'version', e.version, 'id', e.thread, 'tenant', e.tenant, 'createdAt', NOW_MS, 'metadata', ARGV[3],
    'ttl', e.threadTtlMs, 'throwaway', e.throwaway and '1' or '')
end

local job, fence, asked = {}, '', nil
if e.multitask == 'interrupt' or e.multitask == 'rollback' or e.kind == 'delete_thread' then
  -- From the back, so that nothing is promoted that is about to be cancelled.
  local waiting = redis.call('LRANGE', mailbox, 0, -1)
  for i = #waiting, 1, -1 do
    local stopped = cancel_run(waiting[i], e.kind == 'delete_thread' and 'interrupt' or e.multitask, e.turn)
    if stopped[2] and stopped[2][1] then job = stopped[2] end
    if stopped[3] and stopped[3] ~= '' then fence = stopped[3] end
  end
end
if e.answers then
  local chain = key.chain(chain_id)
  -- For the case that this answer is taken back (see withdraw).
  local by, questions, ids, whole = unpack(redis.call('HMGET', chain, 'newestRun', 'questions', 'questionIds', 'whole'))
  asked = cjson.encode({ by, redis.call('HGET', thread, 'begun') or '', questions or '[]', ids or '[]', whole or '' })
  for _, id in ipairs(e.answers) do
    redis.call('HSET', chain, 'answer:' .. id, e.run)
    redis.call('HDEL', chain, 'kept:' .. id)
  end
  redis.call('HDEL', thread, 'parked')
  -- The run that asked is no longer what the chain waits for.
  retain(by)
  call_answered(by)
elseif e.kind ~= 'update_state' and not e.afterMs then
  unpark(e.threadKey, 'superseded')
end

if e.kind == 'delete_thread' then
  for _, id in ipairs(redis.call('ZRANGE', key.threadRuns(e.threadKey), 0, -1)) do
    if redis.call('ZSCORE', key.due(), id) then cancel_run(id, 'interrupt') end
  end
  redis.call('HSET', thread, 'deleting', '1')
end

-- Turns that are no runs of the graph are nobody's history.
local retention = e.kind == 'graph' and e.retentionMs or CONTROL_RETENTION_MS
redis.call('HSET', key.run(e.run),
  'version', e.version, 'id', e.run, 'tenant', e.tenant, 'thread', e.thread, 'threadKey', e.threadKey,
  'chain', chain_id, 'queue', e.queue, 'kind', e.kind, 'status', 'queued', 'attempt', 0, 'delivery', 0,
  'crashes', 0, 'seq', 0, 'bytes', 0, 'createdAt', NOW_MS, 'updatedAt', NOW_MS,
  'retention', retention, 'answers', e.answers and '1' or '', 'continues', e.continues and '1' or '', 'request', ARGV[2])
if asked then redis.call('HSET', key.run(e.run), 'asked', asked) end
redis.call('HSET', key.chain(chain_id), 'version', e.version, 'id', chain_id, 'tenant', e.tenant, 'thread', e.thread,
  'state', 'open', 'newestRun', e.run)
redis.call('HSETNX', key.chain(chain_id), 'createdAt', NOW_MS)
redis.call('PERSIST', key.chain(chain_id))
-- Deletions and state edits are not held against anybody: a wave of expiring threads must not shut submits out.
if e.kind == 'graph' then open_run(e.run, e.tenant, #ARGV[2]) end
if e.kind == 'graph' then
  redis.call('ZADD', key.threadRuns(e.threadKey), int(NOW_US), e.run)
  redis.call('HSET', thread, 'graph', e.graph, 'assistant', e.assistant)
  if not e.throwaway then redis.call('HSET', thread, 'runsKept', e.runsKept) end
  -- The list forgets what has expired, a few at a time.
  for _, id in ipairs(redis.call('ZRANGE', key.threadRuns(e.threadKey), 0, 2)) do
    if redis.call('EXISTS', key.run(id)) == 0 then redis.call('ZREM', key.threadRuns(e.threadKey), id) end
  end
end
if e.rerun then
  redis.call('HSET', key.run(e.rerun), 'rerun', e.run)
  unbury(e.rerun, e.tenant)
end
if e.idempotencyKey then
  redis.call('HSET', key.idempotency(e.idempotencyKey), 'run', e.run, 'hash', e.bodyHash)
  redis.call('PEXPIRE', key.idempotency(e.idempotencyKey), e.idempotencyTtlMs)
end
local begins = e.kind == 'graph' and chain_id == e.run
touch_thread(e.threadKey, e.afterMs, begins and chain_id)
if begins and NOW_US % 8 == 0 then tidy_chains(e.tenant, e.retentionMs) end

if e.afterMs then
  redis.call('ZADD', key.due(), NOW_MS + e.afterMs, e.run)
  return { 'accepted', e.run, job, '', fence }
end

-- An answer goes before what waits, but never before the run at work, which keeps the head, nor before a rollback: what it
-- answers is where that leads.
if e.answers then
  local head = head_of(e.threadKey)
  local at_work = head and redis.call('HGET', key.lease(e.threadKey), 'run') == head
  if at_work or (head and redis.call('HGET', key.run(head), 'kind') == 'rollback') then
    redis.call('LINSERT', mailbox, 'AFTER', head, e.run)
  else
    redis.call('LPUSH', mailbox, e.run)
    job = ready(e.run)
  end
elseif redis.call('RPUSH', mailbox, e.run) == 1 then
  job = ready(e.run)
end
return { 'accepted', e.run, job, '', fence }
