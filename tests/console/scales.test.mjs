import assert from "node:assert/strict";
import { test } from "node:test";
import { areaPath, extent, histogramPath, linear, linePath, ticks, valueAt } from "../../src/modelgate/console/scales.mjs";

test("a scale maps a range, also downwards; equal numbers are in the middle", () => {
  assert.equal(75, linear([0, 4], [100, 0])(1));
  assert.equal(50, linear([3, 3], [0, 100])(3));
});

test("ticks are round numbers inside of the range", () => {
  assert.deepEqual([0, 0.5, 1], ticks([0, 1], 3));
  assert.deepEqual([0, 0.2, 0.4, 0.6], ticks([-0.01, 0.7]));
  assert.deepEqual([-100, -50, 0, 50], ticks([-120, 80]));
  assert.deepEqual([7], ticks([7, 7]));
});

test("the extent ignores what is not a number", () => {
  assert.deepEqual([-1, 3], extent([3, NaN, -1, undefined]));
  assert.deepEqual([0, 1], extent([]));
});

test("paths begin with a move, and an area returns along its lower line", () => {
  assert.equal("M0.0,1.0L2.0,3.0", linePath([[0, 1], [2, 3]]));
  assert.equal("", linePath([]));
  assert.equal("M0.0,1.0L2.0,1.0L2.0,5.0L0.0,5.0Z", areaPath([[0, 1], [2, 1]], [[0, 5], [2, 5]]));
});

test("the highest bar of a histogram fills the height", () => {
  assert.equal("M0,10L0.0,5.0L5.0,5.0L5.0,0.0L10.0,0.0L10,10Z", histogramPath([2, 4], 10, 10));
});

test("the value of a line between its points is interpolated", () => {
  assert.equal(15, valueAt([0, 1, 2], [0, 10, 20], 1.5));
  assert.equal(0, valueAt([0, 1], [0, 10], -1));
  assert.equal(10, valueAt([0, 1], [0, 10], 9));
});
