-- KEYS[1]: a shard of the expiry index. ARGV: member.
local time = redis.call('TIME')
local ms = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
return redis.call('ZADD', KEYS[1], ms, ARGV[1])
