import assert from "node:assert/strict";
import { test } from "node:test";
import { gridOf, placeOf, shareBetween, sliderStep, trainingRange, typicalValue } from "../../src/modelgate/console/training.mjs";

const NUMBER = { name: "age", type: "number" };
const INTEGER = { name: "count", type: "integer" };
const AGES = { minimum: 20, median: 39.5, maximum: 60, histogram: [1, 3, 0, 0] };

test("the range of a number is that of the training data, within its bounds", () => {
  assert.deepEqual({ low: 20, high: 60 }, trainingRange(NUMBER, AGES));
  assert.deepEqual({ low: 30, high: 60 }, trainingRange({ ...NUMBER, minimum: 30 }, AGES));
});

test("a column without training data, or with a single value, has no range", () => {
  assert.equal(null, trainingRange(NUMBER, undefined));
  assert.equal(null, trainingRange(NUMBER, { minimum: 3, maximum: 3 }));
  assert.equal(null, trainingRange({ name: "plan", type: "text" }, { levels: [] }));
  assert.equal(null, trainingRange(NUMBER, { minimum: -1e308, maximum: 1e308 }));
});

test("a grid has the levels, or numbers at equal distances without rounding errors", () => {
  assert.deepEqual(["a", "b"], gridOf({ type: "text", levels: ["a", "b"] }, undefined));
  assert.deepEqual([false, true], gridOf({ type: "boolean" }, undefined));
  assert.deepEqual([0, 0.1, 0.2, 0.3], gridOf(NUMBER, { minimum: 0, maximum: 0.3 }, 4));
  assert.deepEqual([1, 2, 3], gridOf(INTEGER, { minimum: 1, maximum: 3 }, 9));
  assert.deepEqual([], gridOf(NUMBER, undefined));
});

test("a slider moves by 1, 2 or 5 times a power of ten, and by whole numbers in an integer column", () => {
  assert.equal(0.2, sliderStep({ low: 20, high: 60 }, false));
  assert.equal(0.01, Number(sliderStep({ low: 0, high: 1 }, false).toPrecision(6)));
  assert.equal(1, sliderStep({ low: 0, high: 7 }, true));
  assert.equal(50, sliderStep({ low: 0, high: 9000 }, true));
});

test("a number outside of the training data is unusual", () => {
  assert.equal("above all training values, which end at 60", placeOf(NUMBER, AGES, 61, 40).text);
  assert.equal(true, placeOf(NUMBER, AGES, 19.9, 40).unusual);
  assert.equal(null, placeOf(NUMBER, AGES, 60, 40));
  assert.equal(null, placeOf(NUMBER, AGES, "old", 40));
});

test("a level has its share of the training rows, and is unusual if no row has it", () => {
  const summary = { levels: [["pro", 30], ["free", 10]] };

  assert.deepEqual({ text: "25.0 % of the training rows", unusual: false }, placeOf({ type: "text" }, summary, "free", 40));
  assert.equal(true, placeOf({ type: "text" }, summary, "gold", 40).unusual);
  const full = { levels: Array.from({ length: 50 }, (_, index) => [String(index), 1]) };
  assert.equal(null, placeOf({ type: "text" }, full, "gold", 400), "rarer levels were not counted");
});

test("the share between two numbers is that of the training values", () => {
  assert.equal(0.25, shareBetween(AGES, 20, 30));
  assert.equal(0.5, shareBetween(AGES, 25, 35));
  assert.equal(0, shareBetween(AGES, 45, 99));
  assert.equal(null, shareBetween({ minimum: 0, maximum: 1 }, 0, 1));
});

test("a typical value is the median or the most frequent level, else the example of the schema", () => {
  assert.equal(39.5, typicalValue(NUMBER, AGES, 1));
  assert.equal(40, typicalValue(INTEGER, AGES, 1));
  assert.equal("pro", typicalValue({ type: "text", levels: ["free", "pro"] }, { levels: [["pro", 3]] }, "free"));
  assert.equal("free", typicalValue({ type: "text", levels: ["free"] }, { levels: [["gold", 3]] }, "free"));
  assert.equal(1, typicalValue(NUMBER, undefined, 1));
});
