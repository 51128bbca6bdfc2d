-- ARGV: the writer's four (see guard.lua), budget. Reply: 1 while there is more to do.
-- The fence outlives the data by as long as a writer could have been forgotten.
local FENCE_SECONDS = 7 * 24 * 3600
local refused = refusal(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end
local more = remove_thread(tonumber(ARGV[5]))
if more ~= 1 then redis.call('EXPIRE', key_fence(), FENCE_SECONDS) end
return more
