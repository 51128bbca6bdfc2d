-- ARGV: the writer's four (see guard.lua), run or '', ns, checkpoint id, (field, '1' if a later write replaces it, value)...
local refused = refusal(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end
local ns, id = ARGV[6], ARGV[7]
open_journal(ARGV[5])
for i = 8, #ARGV, 3 do
  journal_write(ns, id, ARGV[i])
  local command = ARGV[i + 1] == '1' and 'HSET' or 'HSETNX'
  redis.call(command, key_writes(ns, id), ARGV[i], ARGV[i + 2])
end
redis.call('HSET', key_record(), 'v', '1', 't', now_ms())
note_early(ns, id)
return 1
