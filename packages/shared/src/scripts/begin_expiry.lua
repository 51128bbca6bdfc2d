-- Takes the lease of a thread whose time is over, to remove it. ARGV: thread key, nonce, the token that stands at the
-- checkpoint store. Returns the token, or nil when the thread is in use, wanted again, gone, or somebody else's to remove.

local thread_key, nonce, store_token = ARGV[1], ARGV[2], tonumber(ARGV[3])
local thread, lease = key.thread(thread_key), key.lease(thread_key)
local l = redis.call('HMGET', lease, 'token', 'run', 'nonce')
local again = l[3] == nonce
local due = tonumber(redis.call('ZSCORE', key.expiry(), thread_key) or 'inf')
if not again and due > NOW_MS then return nil end
if redis.call('EXISTS', thread) == 0 or redis.call('LLEN', key.mailbox(thread_key)) > 0 then return nil end
if l[2] and l[2] ~= '' then return nil end

local token = math.max(tonumber(l[1] or '0') + 1, store_token + 1, NOW_US)
redis.call('HSET', lease, 'token', int(token), 'nonce', nonce, 'run', '', 'deadline', 0)
-- From here on it is gone for callers. Should we not get to the end of it, the next sweep begins again.
redis.call('HSET', thread, 'deleting', '1')
call_thread(thread_key)
redis.call('ZADD', key.expiry(), NOW_MS + 60000, thread_key)
return int(token)
