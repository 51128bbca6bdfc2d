-- Reply: the thread's checkpoint namespaces.
return redis.call('ZRANGE', key_namespaces(), 0, -1)
