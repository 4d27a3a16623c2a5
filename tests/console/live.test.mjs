import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Live, exhausted } from "../../src/modelgate/console/live.mjs";

mock.timers.enable({ apis: ["setTimeout"] });

const settle = async () => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
};

const tick = async (milliseconds) => {
  mock.timers.tick(milliseconds);
  await settle();
};

test("changes in quick succession are one request", async () => {
  let sent = 0;
  const live = new Live(async () => { sent += 1; });
  for (let key = 0; key < 5; key += 1) {
    live.request();
    await tick(100);
  }
  await tick(300);

  assert.equal(1, sent);
});

test("one request is in flight, and a change during it is sent after it", async () => {
  const finish = [];
  const live = new Live(() => new Promise((resolve) => finish.push(resolve)));
  live.request(0);
  await tick(0);
  live.request(0);
  live.request(0);
  await tick(500);
  assert.equal(1, finish.length);
  finish[0](null);
  await settle();

  assert.equal(2, finish.length);
  finish[1](null);
  await settle();
  assert.equal(2, finish.length);
});

test("a pause that the gate asks for is counted down, and the row is sent after it", async () => {
  const waits = [3, null];
  const shown = [];
  const live = new Live(async () => waits.shift(), (seconds) => shown.push(seconds));
  live.request(0);
  await tick(0);
  live.request(0);
  for (let second = 0; second < 2; second += 1) await tick(1000);
  assert.equal(1, waits.length);
  await tick(1000);

  assert.deepEqual([3, 2, 1], shown);
  assert.equal(0, waits.length);
});

test("a cancelled pause sends nothing", async () => {
  let sent = 0;
  const live = new Live(async () => { sent += 1; return 60; });
  live.request(0);
  await tick(0);
  live.cancel();
  for (let second = 0; second < 70; second += 1) await tick(1000);

  assert.equal(1, sent);
});

test("updates leave a tenth of each window of a limit, and at least one request", () => {
  const window = (remaining, limit) => ({ remaining, limit });

  assert.equal(undefined, exhausted([window(61, 600), window(2, 3)]));
  assert.deepEqual(window(60, 600), exhausted([window(9, 10), window(60, 600)]));
  assert.deepEqual(window(1, 3), exhausted([window(1, 3)]));
  assert.equal(undefined, exhausted([]));
});
