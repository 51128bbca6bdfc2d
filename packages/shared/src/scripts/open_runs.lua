-- What this partition has at hand. Returns the number of runs that have not ended, the bytes of their requests, how many
-- runs ended lately, and the milliseconds in which they did.
local ended = redis.call('MGET', key.ended(PACE_WINDOW - 1), key.ended(PACE_WINDOW))
return {
  redis.call('ZCARD', key.open()),
  tonumber(redis.call('GET', key.openBytes()) or '0'),
  tonumber(ended[1] or '0') + tonumber(ended[2] or '0'),
  PACE_MS + NOW_MS % PACE_MS,
}
