-- How a run is taken back.

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
  call_thread(thread_key)
  call_answered(by)
  for _, kept in ipairs({ chain, key.run(by), key.events(by) }) do redis.call('PERSIST', kept) end
  redis.call('ZREM', key.finished(thread_key), by)
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
