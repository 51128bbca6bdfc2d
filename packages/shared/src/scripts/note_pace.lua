-- Notes how long runs of a queue take; `root` is the queue's one hash. ARGV: runs that ended, the milliseconds they
-- executed, runs that one worker executes at once. What was noted counts half as much each five minutes, and only when
-- there is something newer. A queue that has had no workers for a week is forgotten.
local HALF_MS = 300000
local FORGET_MS = 7 * 24 * 3600 * 1000
local runs, ms = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('HSET', root, 'concurrency', ARGV[3])
redis.call('PEXPIRE', root, FORGET_MS)
if runs == 0 then return end
local known = redis.call('HMGET', root, 'runs', 'ms', 'at')
local fade = 0.5 ^ (math.max(0, NOW_MS - tonumber(known[3] or NOW_MS)) / HALF_MS)
redis.call('HSET', root, 'runs', tonumber(known[1] or '0') * fade + runs, 'ms', tonumber(known[2] or '0') * fade + ms, 'at', NOW_MS)
