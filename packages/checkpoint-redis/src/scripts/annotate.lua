-- ARGV: the writer's four (see guard.lua), action, ns, checkpoint id, description. Reply: 1, or 0 when there is no such checkpoint.
local refused = refusal(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end
local action, ns, id = ARGV[5], ARGV[6], ARGV[7]
if action == 'unpin' then return redis.call('SREM', key_pins(), id) end
if not redis.call('ZSCORE', key_index(ns), id) then return 0 end
if action == 'pin' then
  redis.call('SADD', key_pins(), id)
else
  redis.call('HSET', key_checkpoint(ns, id), 'd', ARGV[8])
end
return 1
