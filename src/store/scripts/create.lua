-- KEYS: record. ARGV: generation, sealed value, whole life (ms), idle life (ms).
-- 1: it is there now; 0: another one was there before.
local sealed = redis.call('HGET', KEYS[1], 'v')
if sealed then
  -- The same one: this is a second try, and the first got through after all.
  return sealed == ARGV[2] and 1 or 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'g', ARGV[1], 'v', ARGV[2],
  'w', string.format('%.0f', now), 'u', string.format('%.0f', now),
  'd', string.format('%.0f', now + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[3]), tonumber(ARGV[4])))
return 1
