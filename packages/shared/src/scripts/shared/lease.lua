-- Who may write.

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
