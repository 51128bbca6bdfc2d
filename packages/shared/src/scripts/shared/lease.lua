-- Who may write.

-- Nobody has looked at this partition for so long that Redis was away, or every gateway.
local AWAY_MS = 2500

-- A holder renews four times in a lease (lease-keeper.ts). So this part of it before its end a renewal was overdue, even if the one
-- before it came late.
local MISSED = 0.5

-- A living holder is back by then, however short its lease: it tries to connect once a second (redis.ts).
local RETURN_MS = 2500

local function last_swept() return tonumber(redis.call('GET', key.swept()) or math.huge) end

-- How often in a row a lease may be spared. After that it is no outage, but a gateway that always comes late.
local MOST_SPARED = 3

-- Whether the holder of an expired lease may be alive: nobody could renew, the living no more than the dead. So it is after an outage.
-- Where nobody has looked since a renewal was overdue, a short outage cannot be told from a death; that is believed once.
-- `swept`: when somebody looked last.
local function may_live(lease, swept)
  local deadline, lasts, spared = unpack(redis.call('HMGET', lease, 'deadline', 'lasts', 'spared'))
  spared = tonumber(spared) or 0
  if NOW_MS - swept > AWAY_MS then return spared < MOST_SPARED end
  return spared == 0 and swept <= tonumber(deadline or '0') - MISSED * tonumber(lasts or '0')
end

-- The holder of an expired lease gets the time of one more to say that it lives.
local function spare(lease, run_id)
  local lasts, spared, run = unpack(redis.call('HMGET', lease, 'lasts', 'spared', 'run'))
  local until_ms = NOW_MS + math.max(tonumber(lasts or '0'), RETURN_MS)
  redis.call('ZADD', key.leases(), until_ms, run_id)
  if run == run_id then redis.call('HSET', lease, 'deadline', until_ms, 'spared', (tonumber(spared) or 0) + 1) end
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
