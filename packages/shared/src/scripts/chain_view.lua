-- A chain and its newest run, with what else tells how it stands. ARGV: chain. Returns the fields of both, the runs before
-- that one in its mailbox, its job, the time at which the thread expires unless it is used, and the time now.
local chain = redis.call('HGETALL', key.chain(ARGV[1]))
local newest = redis.call('HGET', key.chain(ARGV[1]), 'newestRun')
if not newest then return { chain, {} } end
local thread_key = redis.call('HGET', key.run(newest), 'threadKey')
if not thread_key then return { chain, {} } end
local before = redis.call('LPOS', key.mailbox(thread_key), newest)
return { chain, redis.call('HGETALL', key.run(newest)), before or -1, job_of(newest)[1],
  redis.call('ZSCORE', key.expiry(), thread_key) or '', NOW_MS }
