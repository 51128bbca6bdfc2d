-- Takes chains that have expired off their tenant's list. ARGV: tenant, chains.
for i = 2, #ARGV do unlist_expired(ARGV[i], ARGV[1]) end
