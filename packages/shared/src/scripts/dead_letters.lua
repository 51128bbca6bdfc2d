-- How many dead letters this partition has. Those whose runs have expired leave, the oldest first and a few at a time.
for _, run_id in ipairs(redis.call('ZRANGE', key.dead(), 0, 19)) do
  if redis.call('EXISTS', key.run(run_id)) == 0 then redis.call('ZREM', key.dead(), run_id) end
end
return redis.call('ZCARD', key.dead())
