-- KEYS[1]: a shard of the expiry index. ARGV: age in ms, offset, count. Reply: {cutoff, members}, oldest first.
local time = redis.call('TIME')
local cutoff = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) - tonumber(ARGV[1])
local text = string.format('%.0f', cutoff)
return { text, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text, 'LIMIT', ARGV[2], ARGV[3]) }
