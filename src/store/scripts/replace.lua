-- KEYS: record. ARGV: generation, sealed value, channel, message.
-- 1: stored, or it was already; 0: what is there is as new or newer; -1: nothing is there.
local record = redis.call('HMGET', KEYS[1], 'g', 'v')
if not record[1] then
  return -1
end
if tonumber(record[1]) >= tonumber(ARGV[1]) then
  return record[2] == ARGV[2] and 1 or 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'g', ARGV[1], 'v', ARGV[2], 'w', string.format('%.0f', now))
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
