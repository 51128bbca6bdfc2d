-- The holder has read the head checkpoint and starts to work. ARGV: run, token, nonce, base, head.
-- The base is set once: later attempts start from the first one's.

local run_id, token, nonce, base, head = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if not holds(run_id, token, nonce) then return 'lost' end
redis.call('HSETNX', key.run(run_id), 'base', base)
redis.call('HSET', key.run(run_id), 'head', head)
-- From here on the thread's checkpoints may be this run's.
redis.call('HSET', key.thread(redis.call('HGET', key.run(run_id), 'threadKey')), 'begun', run_id)
return 'ok'
