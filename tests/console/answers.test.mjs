import assert from "node:assert/strict";
import { test } from "node:test";
import { limits, phases, predictions, readErrors, retryAfter } from "../../src/modelgate/console/answers.mjs";
import { explain } from "../../src/modelgate/console/problems.mjs";
import { signed, span } from "../../src/modelgate/console/text.mjs";

const CHURN = { name: "churn", classes: ["no", "yes"] };

test("a native response has a value and the share of each class", () => {
  const json = { prediction: "no", probabilities: { no: 0.8, yes: 0.2 } };

  assert.deepEqual([[{ name: "churn", value: "no", shares: [["no", 0.8], ["yes", 0.2]], confidence: null }]],
    predictions("native", json, [CHURN], true));
});

test("a response that does not fit the deployment is not read", () => {
  assert.equal(null, predictions("native", { outputs: {} }, [CHURN], true));
  assert.equal(null, predictions("ours", { prediction: 1 }, [CHURN], true));
});

test("errors are assigned to their columns", () => {
  const columns = [{ name: "age" }, { name: "plan" }];

  assert.deepEqual(new Map([["plan", "is missing"]]), readErrors({ missing_columns: ["plan"] }, columns).errors);
  assert.deepEqual(new Map([["age", "must be a number"]]), readErrors({ error: "Invalid input data: age must be a number" }, columns).errors);
});

test("each window of a limit is read", () => {
  const headers = new Headers({ "ratelimit-policy": '"10 per 1 day";q=10;w=86400', ratelimit: '"10 per 1 day";r=9;t=80' });

  assert.deepEqual([{ window: "10 per 1 day", remaining: 9, limit: 10, seconds: 80 }], limits(headers));
  assert.deepEqual([], limits(new Headers()));
});

test("the time to wait and the phases are read", () => {
  assert.equal(7, retryAfter(new Headers({ "retry-after": "7" })));
  assert.equal(null, retryAfter(new Headers()));
  assert.deepEqual([{ name: "cache", about: "hit", milliseconds: 0.1 }], phases(new Headers({ "server-timing": "cache;desc=hit;dur=0.1" })));
});

test("a problem says what to do", () => {
  const busy = explain({ status: 429, headers: new Headers({ "retry-after": "90" }), text: "{}", json: {} });

  assert.deepEqual(["Too many requests", "Try again in 90\u00a0s."], [busy.title, busy.advice]);
  assert.equal("No response", explain({ status: 0, headers: new Headers(), text: "", json: null }).title);
});

test("durations and changes are worded for people", () => {
  assert.equal("2\u00a0min", span(120));
  assert.deepEqual(["+0.123", "−4"], [signed(0.1234), signed(-4)]);
});
