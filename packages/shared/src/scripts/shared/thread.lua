-- The end of a thread.

-- Removes a thread, and its runs, which have ended. The fence outlives the data for as long as a forgotten writer could.
local function forget_thread(thread_key, tenant, fence_ms)
  for _, id in ipairs(redis.call('ZRANGE', key.threadRuns(thread_key), 0, -1)) do
    -- Without its record a run could never leave the set.
    close_run(id, tenant)
    unbury(id, tenant)
    forget_chain(redis.call('HGET', key.run(id), 'chain') or id, tenant)
    redis.call('UNLINK', key.run(id), key.events(id))
  end
  redis.call('UNLINK', key.thread(thread_key), key.threadRuns(thread_key), key.finished(thread_key), key.mailbox(thread_key))
  redis.call('ZREM', key.expiry(), thread_key)
  redis.call('PEXPIRE', key.lease(thread_key), fence_ms)
  call_thread(thread_key)
end
