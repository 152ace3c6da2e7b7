-- KEYS: record. ARGV: generation. 1, or 0 if that is not the generation that is there.
if redis.call('HGET', KEYS[1], 'g') ~= ARGV[1] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'a', ARGV[1], 't', string.format('%.0f', now))
return 1
