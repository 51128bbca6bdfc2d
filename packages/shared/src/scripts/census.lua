-- Where this partition's runs stand. ARGV: tenants. Returns the number of runs that have not ended, of those that are
-- ready, at work, and not due yet (of these three, deletions and state edits too), and then of each tenant's that have
-- not ended.
local counts = {
  redis.call('ZCARD', key.open()),
  redis.call('ZCARD', key.outbox()),
  redis.call('ZCARD', key.leases()),
  redis.call('ZCARD', key.due()),
}
for i = 1, #ARGV do counts[4 + i] = redis.call('ZCARD', key.tenantOpen(ARGV[i])) end
return counts
