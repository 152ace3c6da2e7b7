-- KEYS: record. ARGV: generation, sealed value, channel, message.
-- 1: stored, or it was already; 0: what is there is as new or newer; -1: nothing is there.
local record = redis.call('HMGET', KEYS[1], 'g', 'v')
if not record[1] then
  return -1
end
if tonumber(record[1]) >= tonumber(ARGV[1]) then
  return record[2] == ARGV[2] and 1 or 0
end
redis.call('HSET', KEYS[1], 'g', ARGV[1], 'v', ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
