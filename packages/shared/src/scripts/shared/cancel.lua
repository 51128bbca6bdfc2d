-- How a run is stopped.

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
