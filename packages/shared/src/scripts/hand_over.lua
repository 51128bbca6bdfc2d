-- Somebody is told how long a chain is kept: its runs are no longer among those that are kept by number. ARGV: chain.
local chain = key.chain(ARGV[1])
local newest = redis.call('HGET', chain, 'newestRun')
if not newest then return end
redis.call('HSET', chain, 'task', '1')
local thread_key = redis.call('HGET', key.run(newest), 'threadKey')
if thread_key then redis.call('ZREM', key.finished(thread_key), newest) end
