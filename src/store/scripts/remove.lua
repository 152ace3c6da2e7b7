-- KEYS: record. ARGV: channel, message. How many there were.
local removed = redis.call('DEL', KEYS[1])
-- Told even if it was gone: another replica may still have it in its cache.
redis.call('PUBLISH', ARGV[1], ARGV[2])
return removed
