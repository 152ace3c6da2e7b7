-- KEYS: a person's records by last use, and by the end of their whole life. ARGV: records.
redis.call('ZREM', KEYS[2], unpack(ARGV))
return redis.call('ZREM', KEYS[1], unpack(ARGV))
