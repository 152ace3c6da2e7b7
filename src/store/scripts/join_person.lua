-- KEYS: a person's records by last use, and by the end of their whole life.
-- ARGV: record, whole life (ms), idle life (ms), how many there may be.
-- Those that are too many, the longest unused first; never the one that was just added.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local dead = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
for _, name in ipairs(dead) do
  redis.call('ZREM', KEYS[1], name)
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
local idle = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[3]))
for _, name in ipairs(idle) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[2]), ARGV[1])
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', key, ARGV[2])
  end
end
local surplus = {}
local over = redis.call('ZCARD', KEYS[1]) - ARGV[4]
if over > 0 then
  for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, over)) do
    if name ~= ARGV[1] and #surplus < over then
      table.insert(surplus, name)
    end
  end
end
return surplus
