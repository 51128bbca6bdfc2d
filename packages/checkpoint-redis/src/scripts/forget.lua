-- KEYS[1]: a shard of the expiry index. ARGV: member, cutoff in ms. Leaves an entry that was renewed meanwhile.
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if score and tonumber(score) <= tonumber(ARGV[2]) then return redis.call('ZREM', KEYS[1], ARGV[1]) end
return 0
