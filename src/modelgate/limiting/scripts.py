"""What Redis runs: the arithmetic of `windows`, once more, on counts that are not packed.

A key holds for each window, one after the other, when its step began and its counts, the newest
first. One key a bucket: a script touches no other, as a cluster demands. Needs Redis 6.
"""

import hashlib
from typing import NamedTuple

__all__ = ["GIVE_BACK", "HIT", "Script"]


class Script(NamedTuple):
    """A script, and the digest Redis knows it by."""

    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> "Script":
        """The script *text*."""
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


HIT = Script.of("""
-- ARGV: the time, or nothing for the server's own; the cost; for how many milliseconds the key is
-- kept; then amount, step and number of steps of each window. Two steps are those of a sliding one.
local now, cost = tonumber(ARGV[1]), tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end
local packed = redis.call('GET', KEYS[1])
local old = packed and cmsgpack.unpack(packed) or {}
local numbers, newest, free, passes, moved, at = {}, {}, {}, true, false, 1
for i = 4, #ARGV, 3 do
  local amount, step, steps = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local begun, passed, counts, sum = old[at] or now, 0, {}, 0
  if now < begun then
    begun, moved = now, true
  elseif now >= begun + step then
    passed = math.max(1, math.floor((now - begun) / step + 1e-9))
    begun, moved = begun + passed * step, true
  end
  for k = 1, steps do
    counts[k] = k > passed and old[at + k - passed] or 0
    sum = sum + counts[k]
  end
  if sum == 0 then begun = now end
  local used = sum
  if steps == 2 then used = counts[1] + math.floor(counts[2] * (1 - (now - begun) / step)) end
  free[#free + 1] = amount - used
  passes = passes and cost <= amount - used
  numbers[at], newest[#newest + 1] = begun, at + 1
  for k = 1, steps do numbers[at + k] = counts[k] end
  at = at + 1 + steps
end
if passes then
  for _, k in ipairs(newest) do numbers[k] = numbers[k] + cost end
end
if passes or moved then
  redis.call('SET', KEYS[1], cmsgpack.pack(numbers), 'PX', ARGV[3])
end
local reply = {passes and '1' or '0', string.format('%.17g', now)}
for _, value in ipairs(free) do reply[#reply + 1] = string.format('%.0f', value) end
for _, value in ipairs(numbers) do reply[#reply + 1] = string.format('%.17g', value) end
return reply
""")

GIVE_BACK = Script.of("""
-- ARGV: the cost, and when it was charged; then step and number of steps of each window.
local cost, charged = tonumber(ARGV[1]), tonumber(ARGV[2])
local packed = redis.call('GET', KEYS[1])
if not packed then return end
local numbers, at = cmsgpack.unpack(packed), 1
for i = 3, #ARGV, 2 do
  local step, steps = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local back = math.max(0, math.ceil((numbers[at] - charged) / step))
  local k = at + 1 + back
  if back < steps and numbers[k] >= cost then numbers[k] = numbers[k] - cost end
  at = at + 1 + steps
end
redis.call('SET', KEYS[1], cmsgpack.pack(numbers), 'KEEPTTL')
""")
