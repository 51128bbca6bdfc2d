-- Shared by every script: time, events, and the three moves that change who may run.
-- `root`, `prefix` and `key` come before this text (see index.ts).

local TERMINAL = { interrupted = true, succeeded = true, failed = true, cancelled = true }

local function time_us()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- Lua prints large numbers as 1.7e+15, and no reader would take them back.
local function int(n) return string.format('%.0f', n) end

local NOW_US = time_us()
local NOW_MS = math.floor(NOW_US / 1000)

-- Streams are cut from the front past this many bytes; readers then get a gap.
local STREAM_BYTES = 16 * 1024 * 1024
local EVENT_OVERHEAD_BYTES = 64

-- How long the record of a state edit, a rollback or a deletion is kept, once it is over.
local CONTROL_RETENTION_MS = 3600 * 1000

local function append_event(run_id, token, name, data)
  local run, events = key.run(run_id), key.events(run_id)
  local seq = redis.call('HINCRBY', run, 'seq', 1)
  redis.call('XADD', events, seq .. '-0', 'n', name, 'd', data, 'k', int(token))
  local bytes = redis.call('HINCRBY', run, 'bytes', #data + EVENT_OVERHEAD_BYTES)
  while bytes > STREAM_BYTES do
    local oldest = redis.call('XRANGE', events, '-', '+', 'COUNT', 1)[1]
    if not oldest or oldest[1] == seq .. '-0' then break end
    redis.call('XDEL', events, oldest[1])
    bytes = redis.call('HINCRBY', run, 'bytes', -(#oldest[2][4] + EVENT_OVERHEAD_BYTES))
  end
  return seq
end

-- Only the number goes out, with a mark on the last: Redis cuts off subscribers that fall 32 MB behind.
local function call_out(run_id, seq, ended)
  redis.call('PUBLISH', prefix .. ':events:' .. run_id, seq .. (ended and '!' or ''))
end

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

-- Takes a run off the lists of those that may be run again.
local function unbury(run_id, tenant)
  redis.call('ZREM', key.dead(), run_id)
  redis.call('ZREM', key.tenantDead(tenant), run_id)
end

local function forget_chain(chain_id, tenant)
  redis.call('UNLINK', key.chain(chain_id))
  redis.call('ZREM', key.tenantChains(tenant), chain_id)
end

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

-- The list of a tenant's chains is kept at least as long as the last of its threads: `ttl` ms from now; 0 keeps. A little longer,
-- so that it need not be told each time. `chain_id`: what is new in it.
local function keep_chains(tenant, ttl, chain_id)
  local chains = key.tenantChains(tenant)
  local left = redis.call('PTTL', chains)
  if chain_id then redis.call('ZADD', chains, int(NOW_US), chain_id) end
  if ttl <= 0 then
    redis.call('PERSIST', chains)
  elseif left == -2 or (left >= 0 and left < ttl) then
    redis.call('PEXPIRE', chains, int(ttl * 1.1))
  end
end

-- What has expired leaves the list: some in a row, of those that are old enough. From a place by chance, since one that waits for a
-- month would keep all that is behind it.
local TIDIED = 16
local function tidy_chains(tenant, retention)
  if retention <= 0 then return end
  local chains = key.tenantChains(tenant)
  local old = redis.call('ZCOUNT', chains, '-inf', int(NOW_US - retention * 1000))
  if old == 0 then return end
  local from = math.floor(NOW_US / 8) % math.max(old - TIDIED + 1, 1)
  for _, id in ipairs(redis.call('ZRANGE', chains, from, math.min(from + TIDIED, old) - 1)) do
    if redis.call('EXISTS', key.chain(id)) == 0 then redis.call('ZREM', chains, id) end
  end
end

-- `ahead_ms`: how far in the future the thread is sure to be wanted. `chain_id`: one that begins in it.
local function touch_thread(thread_key, ahead_ms, chain_id)
  local thread = key.thread(thread_key)
  redis.call('HSET', thread, 'updatedAt', NOW_MS)
  local ttl, tenant = unpack(redis.call('HMGET', thread, 'ttl', 'tenant'))
  ttl = tonumber(ttl or '0')
  if ttl > 0 then
    ttl = ttl + (ahead_ms or 0)
    redis.call('ZADD', key.expiry(), 'GT', NOW_MS + ttl, thread_key)
  end
  if tenant then keep_chains(tenant, ttl, chain_id) end
end

-- Wakes who watches a chain by its newest run: what that run asked is not open any more. There is no event of it.
local function call_answered(run_id)
  redis.call('PUBLISH', prefix .. ':events:' .. run_id, '')
end

-- Closes the parked chain of a thread, if any, in the given way.
local function unpark(thread_key, state)
  local thread = key.thread(thread_key)
  local chain_id = redis.call('HGET', thread, 'parked')
  if not chain_id then return nil end
  redis.call('HDEL', thread, 'parked')
  redis.call('HSET', key.chain(chain_id), 'state', state, 'updatedAt', NOW_MS)
  local newest = redis.call('HGET', key.chain(chain_id), 'newestRun')
  if newest then
    retain(newest, chain_id)
    call_answered(newest)
  end
  return chain_id
end

-- The runs that have not ended, scored with the bytes of their requests: what the caps are held against. A set counts
-- a script that is sent again once, which no counter would; the sum of the bytes moves only with the set.
local function open_run(run_id, tenant, bytes)
  if redis.call('ZADD', key.open(), bytes, run_id) == 1 then redis.call('INCRBY', key.openBytes(), bytes) end
  redis.call('ZADD', key.tenantOpen(tenant), bytes, run_id)
end

-- Ends are counted in windows of this length: how fast room comes free.
local PACE_MS = 10000
local PACE_WINDOW = math.floor(NOW_MS / PACE_MS)

local function close_run(run_id, tenant)
  redis.call('ZREM', key.tenantOpen(tenant), run_id)
  local bytes = redis.call('ZSCORE', key.open(), run_id)
  if redis.call('ZREM', key.open(), run_id) == 0 then return end
  if redis.call('DECRBY', key.openBytes(), bytes) <= 0 then redis.call('DEL', key.openBytes()) end
  redis.call('INCR', key.ended(PACE_WINDOW))
  redis.call('PEXPIRE', key.ended(PACE_WINDOW), 3 * PACE_MS)
end

-- A run that is taken back is nobody's history; its record stays for those who follow it. What it answered is asked
-- again, unless the thread has gone on meanwhile.
local function withdraw(run_id, thread_key, chain_id)
  redis.call('ZADD', key.threadRuns(thread_key), 'XX', -1, run_id)
  local asked = redis.call('HGET', key.run(run_id), 'asked')
  if not asked then return end
  local by, after, questions, ids, whole = unpack(cjson.decode(asked))
  local thread, chain = key.thread(thread_key), key.chain(chain_id)
  local parked, deleting, begun = unpack(redis.call('HMGET', thread, 'parked', 'deleting', 'begun'))
  if parked or deleting or (begun and begun ~= after and begun ~= run_id) then return end
  if redis.call('EXISTS', key.run(by)) == 0 then return end
  for _, id in ipairs(cjson.decode(ids)) do
    if redis.call('HGET', chain, 'answer:' .. id) == run_id then redis.call('HDEL', chain, 'answer:' .. id) end
  end
  redis.call('HSET', chain, 'state', 'parked', 'newestRun', by, 'questions', questions, 'questionIds', ids, 'whole', whole)
  redis.call('HSET', thread, 'parked', chain_id)
  for _, kept in ipairs({ chain, key.run(by), key.events(by) }) do redis.call('PERSIST', kept) end
end

-- Lines up the turn that takes back what a run wrote: before whatever waits, behind the run itself while that is at work.
-- `turn`: an id for it, made for this very call.
local function line_up_rollback(run_id, turn)
  local r = redis.call('HMGET', key.run(run_id), 'version', 'tenant', 'thread', 'threadKey', 'queue')
  local graph, assistant = unpack(redis.call('HMGET', key.thread(r[4]), 'graph', 'assistant'))
  local request = '{"kind":"rollback","graph":' .. cjson.encode(graph or '') .. ',"assistantId":' .. cjson.encode(assistant or '') ..
    ',"streamModes":[]}'
  redis.call('HSET', key.run(turn),
    'version', r[1], 'id', turn, 'tenant', r[2], 'thread', r[3], 'threadKey', r[4], 'chain', turn, 'queue', r[5],
    'kind', 'rollback', 'target', run_id, 'status', 'queued', 'attempt', 0, 'delivery', 0, 'crashes', 0, 'seq', 0, 'bytes', 0,
    'createdAt', NOW_MS, 'updatedAt', NOW_MS, 'retention', CONTROL_RETENTION_MS, 'answers', '', 'continues', '', 'request', request)
  redis.call('HSET', key.run(run_id), 'turn', turn)
  if redis.call('LINSERT', key.mailbox(r[4]), 'AFTER', run_id, turn) <= 0 then redis.call('LPUSH', key.mailbox(r[4]), turn) end
end

-- Why runs fail through no fault of their own (see dead-letters.ts), and how many a list of them keeps.
local DEAD = { crash_budget = true, graph_changed = true }
local DEAD_MOST = 1000

-- `fields`: what the end writes, names and values. A list lives as long as the run that entered it last.
local function bury(run_id, tenant, fields)
  local err
  for i = 1, #fields, 2 do if fields[i] == 'error' then err = cjson.decode(fields[i + 1]) end end
  local kind, retention = unpack(redis.call('HMGET', key.run(run_id), 'kind', 'retention'))
  if not err or not DEAD[err.code] or kind ~= 'graph' then return end
  for _, list in ipairs({ key.dead(), key.tenantDead(tenant) }) do
    redis.call('ZADD', list, NOW_MS, run_id)
    redis.call('ZREMRANGEBYRANK', list, 0, -DEAD_MOST - 1)
    if tonumber(retention or '0') > 0 then redis.call('PEXPIRE', list, retention) else redis.call('PERSIST', list) end
  end
end

-- Ends a run: status, the one `end` event, out of the mailbox, next in line. The lease, if this run holds it,
-- is given up: an empty nonce is nobody's, the token stays so that it can only grow.
local function end_run(run_id, token, status, fields, end_data)
  local run = key.run(run_id)
  local thread_key, chain_id, tenant = unpack(redis.call('HMGET', run, 'threadKey', 'chain', 'tenant'))
  redis.call('HSET', run, 'status', status, 'endedAt', NOW_MS, 'updatedAt', NOW_MS, unpack(fields))
  local seq = append_event(run_id, token, 'end', end_data)
  redis.call('ZREM', key.leases(), run_id)
  redis.call('ZREM', key.due(), run_id)
  close_run(run_id, tenant)
  if status == 'failed' then bury(run_id, tenant, fields) end
  not_ready(run_id)
  local lease = key.lease(thread_key)
  if redis.call('HGET', lease, 'run') == run_id then redis.call('HSET', lease, 'nonce', '', 'run', '', 'deadline', 0) end
  local was_head = head_of(thread_key) == run_id
  -- From the end where it is likelier to be: who finishes is the head, and who waits is cancelled from the back.
  redis.call('LREM', key.mailbox(thread_key), was_head and 1 or -1, run_id)
  redis.call('HSET', key.thread(thread_key), 'lastStatus', status)
  touch_thread(thread_key)
  if status ~= 'interrupted' then
    redis.call('HSET', key.chain(chain_id), 'state', status == 'cancelled' and 'cancelled' or 'ended')
    retain(run_id, chain_id)
  end
  if redis.call('HGET', run, 'cancel') == 'rollback' then withdraw(run_id, thread_key, chain_id) end
  call_out(run_id, seq, true)
  if was_head then return promote(thread_key) end
  return {}
end

-- The run is about to be ended in place of a holder that is gone. Noted in its record, for who asks again because the reply
-- was lost.
local function fence_off(run_id, thread_key, token)
  redis.call('HSET', key.lease(thread_key), 'token', int(token))
  redis.call('HSET', key.run(run_id), 'fence', int(token))
end

-- Stops a run. One that nobody holds ends here; one at work is asked to, and sees it at its next write. With the action
-- `rollback` what it wrote is taken back as well, in a turn of its own.
-- `turn`: an id for that turn. Returns outcome, job to ring, the token that fences off a holder that is gone (to raise
-- elsewhere too; also to who asks again), and the turn. The outcome `behind`: something else has written to the thread since,
-- or may be about to.
local function cancel_run(run_id, action, turn)
  local run = key.run(run_id)
  local status, thread_key, chain_id, kind, base, lined_up =
    unpack(redis.call('HMGET', run, 'status', 'threadKey', 'chain', 'kind', 'base', 'turn'))
  if not status then return { 'gone' } end
  -- Half taken back is no state to stop in.
  if kind == 'rollback' then return { 'over' } end
  local rollback = action == 'rollback' and kind == 'graph'
  local lease = key.lease(thread_key)
  local holder, deadline, token = unpack(redis.call('HMGET', lease, 'run', 'deadline', 'token'))

  if TERMINAL[status] then
    local parked, begun = unpack(redis.call('HMGET', key.thread(thread_key), 'parked', 'begun'))
    if status ~= 'interrupted' or parked ~= chain_id then
      -- The turn's record is kept for a shorter time.
      local kept = lined_up and redis.call('EXISTS', key.run(lined_up)) == 1
      return { 'over', {}, redis.call('HGET', run, 'fence') or '', kept and lined_up or '' }
    end
    if not rollback then
      unpark(thread_key, 'cancelled')
      return { 'ended' }
    end
    if begun ~= run_id or (holder and holder ~= '') then return { 'behind' } end
    redis.call('HSET', run, 'cancel', action)
    unpark(thread_key, 'cancelled')
    line_up_rollback(run_id, turn)
    withdraw(run_id, thread_key, chain_id)
    return { 'ended', ready(turn), '', turn }
  end

  local at_work = holder == run_id and tonumber(deadline) > NOW_MS
  if rollback then
    redis.call('HSET', run, 'cancel', action)
    -- What has not begun has written nothing.
    if not lined_up and (at_work or base) then
      line_up_rollback(run_id, turn)
      lined_up = turn
    end
  elseif at_work then
    redis.call('HSETNX', run, 'cancel', 'interrupt')
  end
  if at_work then
    redis.call('PUBLISH', prefix .. ':cancel', run_id)
    return { 'asked', {}, '', lined_up or '' }
  end
  local fence = math.max(tonumber(token or '0') + 1, NOW_US)
  if holder == run_id then fence_off(run_id, thread_key, fence) end
  local job = end_run(run_id, fence, 'cancelled', {}, '{"status":"cancelled"}')
  return { 'ended', job, holder == run_id and int(fence) or '', lined_up or '' }
end

-- Removes a thread, and its runs, which have ended. The fence outlives the data for as long as a forgotten writer could.
local function forget_thread(thread_key, tenant, fence_ms)
  for _, id in ipairs(redis.call('ZRANGE', key.threadRuns(thread_key), 0, -1)) do
    -- Without its record a run could never leave the set.
    close_run(id, tenant)
    unbury(id, tenant)
    redis.call('UNLINK', key.run(id), key.events(id))
    forget_chain(id, tenant)
  end
  redis.call('UNLINK', key.thread(thread_key), key.threadRuns(thread_key), key.finished(thread_key), key.mailbox(thread_key))
  redis.call('ZREM', key.expiry(), thread_key)
  redis.call('PEXPIRE', key.lease(thread_key), fence_ms)
end

-- Whether nobody has looked at this partition for a while: Redis was away, or every gateway.
local AWAY_MS = 2500
local function was_away()
  local swept = redis.call('GET', key.swept())
  return swept and NOW_MS - tonumber(swept) > AWAY_MS
end

-- Whether the caller still holds the thread. 'lost' also when there is no lease at all: fences outlive data. And when
-- fewer of its events are stored than it knows of (`ordinal`, if given): Redis has gone back to an older state, and what
-- comes now would follow on what is gone.
local function holds(run_id, token, nonce, ordinal)
  local thread_key = redis.call('HGET', key.run(run_id), 'threadKey')
  if not thread_key then return false end
  local lease = redis.call('HMGET', key.lease(thread_key), 'token', 'nonce', 'run', 'ordinal')
  if lease[1] ~= token or lease[2] ~= nonce or nonce == '' or lease[3] ~= run_id then return false end
  return tonumber(lease[4] or '0') >= tonumber(ordinal or '0')
end
