-- KEYS: a person's records by last use. ARGV: record, ms since the use. Only ever raised.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZADD', KEYS[1], 'XX', 'GT', string.format('%.0f', now - ARGV[2]), ARGV[1])
