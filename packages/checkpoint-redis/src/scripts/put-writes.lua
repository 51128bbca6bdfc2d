-- ARGV: the writer's four (see guard.lua), ns, checkpoint id, (field, '1' if a later write replaces it, value)...
local refused = refusal(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end
local ns, id = ARGV[5], ARGV[6]
for i = 7, #ARGV, 3 do
  local command = ARGV[i + 1] == '1' and 'HSET' or 'HSETNX'
  redis.call(command, key_writes(ns, id), ARGV[i], ARGV[i + 2])
end
redis.call('HSET', key_record(), 'v', '1', 't', now_ms())
note_early(ns, id)
return 1
