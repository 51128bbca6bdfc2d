-- The queue has these jobs. ARGV: ms until they are rung again, then the jobs. One that was claimed meanwhile has left
-- the outbox, and stays away.
for i = 2, #ARGV do redis.call('ZADD', key.outbox(), 'XX', NOW_MS + tonumber(ARGV[1]), ARGV[i]) end
return 1
