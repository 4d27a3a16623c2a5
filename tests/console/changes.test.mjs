import assert from "node:assert/strict";
import { test } from "node:test";
import { changeSentence, distanceSentence, smallestChanges, variations } from "../../src/modelgate/console/changes.mjs";

const AGE = { name: "age", type: "number" };
const PLAN = { name: "plan", type: "text", levels: ["free", "pro"] };
const NOTE = { name: "note", type: "text" };
const SUMMARIES = { age: { minimum: 0, maximum: 40, histogram: [10, 10, 10, 10] } };
const ROW = { age: 10, plan: "free", note: "x" };

test("each variation changes one column to another value of its grid", () => {
  const tried = variations([AGE, PLAN, NOTE], SUMMARIES, ROW);

  assert.equal(41, tried.length);
  assert.ok(tried.every(({ column, value, row }) => row[column.name] === value && value !== ROW[column.name]));
  assert.deepEqual({ __proto__: null, ...ROW, plan: "pro" }, tried.at(-1).row);
});

test("the number of variations is bounded for many columns", () => {
  const columns = Array.from({ length: 200 }, (_, index) => ({ name: `c${index}`, type: "number" }));
  const summaries = Object.fromEntries(columns.map(({ name }) => [name, { minimum: 0, maximum: 1 }]));
  const tried = variations(columns, summaries, {});

  assert.equal(1000, tried.length);
  assert.equal("c199", tried.at(-1).column.name);
});

test("the smallest change passes the fewest training values; levels are last", () => {
  const tried = variations([AGE, PLAN], SUMMARIES, ROW);
  const predicted = tried.map(({ row }) => (row.age > 25 || row.plan === "pro" ? "yes" : "no"));
  const [number, level, ...others] = smallestChanges(tried, predicted, SUMMARIES, ROW, "no");

  assert.deepEqual(["age", 26, 0.4], [number.column.name, number.to, number.distance]);
  assert.deepEqual(["plan", "pro", null], [level.column.name, level.to, level.distance]);
  assert.deepEqual([], others);
});

test("outside of the training data the nearest value is the smallest change", () => {
  const row = { age: 90 };
  const tried = variations([AGE], SUMMARIES, row);
  const [change] = smallestChanges(tried, tried.map(() => "yes"), SUMMARIES, row, "no");

  assert.deepEqual([40, 0], [change.to, change.distance]);
});

test("nothing is found if every prediction is the same", () => {
  const tried = variations([AGE], SUMMARIES, ROW);

  assert.deepEqual([], smallestChanges(tried, tried.map(() => "no"), SUMMARIES, ROW, "no"));
});

test("a change is a sentence", () => {
  const change = { column: AGE, from: 10, to: 26, predicted: "yes", distance: 0.4 };

  assert.equal("If age were 26 instead of 10, the prediction would be yes.", changeSentence(change));
  assert.equal("If age were 26 instead of empty, the prediction would be yes.", changeSentence({ ...change, from: null }));
  assert.equal("40.0 % of the training values lie between the two.", distanceSentence(change, SUMMARIES.age));
  assert.equal("It is 40.0 % of the training range.", distanceSentence(change, { minimum: 0, maximum: 40 }));
  assert.equal("No training value lies between the two.", distanceSentence({ ...change, distance: 0 }, SUMMARIES.age));
});
