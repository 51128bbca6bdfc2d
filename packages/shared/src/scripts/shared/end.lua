-- How a run ends, and how its questions are closed.

local TERMINAL = { interrupted = true, succeeded = true, failed = true, cancelled = true }

-- Closes the parked chain of a thread, if any, in the given way.
local function unpark(thread_key, state)
  local thread = key.thread(thread_key)
  local chain_id = redis.call('HGET', thread, 'parked')
  if not chain_id then return nil end
  redis.call('HDEL', thread, 'parked')
  call_thread(thread_key)
  redis.call('HSET', key.chain(chain_id), 'state', state, 'updatedAt', NOW_MS)
  local newest = redis.call('HGET', key.chain(chain_id), 'newestRun')
  if newest then
    retain(newest, chain_id)
    call_answered(newest)
  end
  return chain_id
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
