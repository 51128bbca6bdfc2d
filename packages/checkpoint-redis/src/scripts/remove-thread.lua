-- ARGV: the writer's four (see guard.lua), budget, milliseconds that the fence outlives the data. Reply: 1 while there is
-- more to do.
local refused = refusal(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end
local more = remove_thread(tonumber(ARGV[5]))
if more ~= 1 then redis.call('PEXPIRE', key_fence(), ARGV[6]) end
return more
