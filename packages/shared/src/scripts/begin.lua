-- The holder has read the head checkpoint and starts to work. ARGV: run, token, nonce, base, head.
-- The base is set once: later attempts start from the first one's.

local run_id, token, nonce, base, head = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if not holds(run_id, token, nonce) then return 'lost' end
local run = key.run(run_id)
redis.call('HSETNX', run, 'base', base)
local last_head = redis.call('HGET', run, 'head')
-- It has got further since it crashed last.
if last_head and last_head ~= head then redis.call('HSET', run, 'crashes', 0) end
redis.call('HSET', run, 'head', head)
-- From here on the thread's checkpoints may be this run's.
redis.call('HSET', key.thread(redis.call('HGET', run, 'threadKey')), 'begun', run_id)
return 'ok'
