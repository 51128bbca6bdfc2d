-- The checkpoints of a thread whose time is over are gone; the rest follows. ARGV: thread key, tenant, token, nonce,
-- milliseconds that the lease outlives it. Returns 1, or 0 when somebody else removes it now.
local lease = redis.call('HMGET', key.lease(ARGV[1]), 'token', 'nonce')
if lease[1] ~= ARGV[3] or lease[2] ~= ARGV[4] then return 0 end
-- A script that is sent again must not find the thread that came after.
local deleting = redis.call('HGET', key.thread(ARGV[1]), 'deleting')
if not deleting or redis.call('LLEN', key.mailbox(ARGV[1])) > 0 then return 1 end
forget_thread(ARGV[1], ARGV[2], ARGV[5])
return 1
