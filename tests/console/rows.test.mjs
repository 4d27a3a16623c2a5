import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_HEIGHT, groupValues, median, searchRows, sortRows, visibleRows } from "../../src/modelgate/console/rows.mjs";

const all = (total) => [...Array(total).keys()];

test("numbers are sorted by size, also as text, and empty values come last in both directions", () => {
  const values = ["10", "9", "", "-2.5", null, "1e3"];
  const value = (index) => values[index];

  assert.deepEqual([3, 1, 0, 5, 2, 4], sortRows(all(6), value));
  assert.deepEqual([5, 0, 1, 3, 2, 4], sortRows(all(6), value, true));
});

test("other values are sorted as text, and equal ones keep the order of the file", () => {
  const values = ["b", "a10", "a2", "b", "a2"];

  assert.deepEqual([2, 4, 1, 0, 3], sortRows(all(5), (index) => values[index]));
});

test("a search finds text in any cell, in any case", () => {
  const rows = [["Barolo", 14.2], ["Barbera", null], [null, "x"]];
  const found = (text) => searchRows(all(3), (index) => rows[index], text);

  assert.deepEqual([0, 1], found(" bar"));
  assert.deepEqual([0], found("14.2"));
  assert.deepEqual(all(3), found(" "));
  assert.deepEqual([], found("null"));
});

for (const total of [0, 1, 40, 100_000, 3_000_000]) {
  test(`of ${total} rows, scrolling reaches each, few are drawn, and the height stays the same`, () => {
    const [viewport, rowHeight] = [430, 32.5];
    const height = Math.min(total * rowHeight, MAX_HEIGHT);
    const end = Math.max(height - viewport, 0);
    const seen = Array.from({ length: 201 }, (_, step) => ({ scrollTop: (end * step) / 200 }))
      .map(({ scrollTop }) => ({ scrollTop, ...visibleRows({ scrollTop, viewport, rowHeight, total }) }));

    for (const { first, last, before, after, scrollTop } of seen) {
      assert.ok(last - first <= 41);
      assert.ok(Math.abs(before + (last - first) * rowHeight + after - height) < 1e-6 * Math.max(height, 1));
      assert.ok(before <= scrollTop && (last === total || before + (last - first) * rowHeight >= scrollTop + viewport));
    }
    assert.equal(0, seen[0].first);
    assert.equal(total, seen.at(-1).last);
  });
}

test("each scroll position of a table below the limit shows the rows that are there", () => {
  const at = (row) => visibleRows({ scrollTop: 32 * row, viewport: 320, rowHeight: 32, total: 100_000 });
  const { first, last, before } = at(5000);

  assert.deepEqual(at(5000), at(5007.5), "the same rows, while the view moves by a few");
  assert.deepEqual([4992, 5026, 4992 * 32], [first, last, before]);
});

test("classes are counted, the most frequent first, with those that no row has", () => {
  const groups = groupValues(["b", "a", "b", null, undefined], ["a", "b", "c"]);

  assert.deepEqual([["b", 2], ["a", 1], ["c", 0]], groups.map(({ label, count }) => [label, count]));
  assert.deepEqual([true, false, false], ["b", "a", undefined].map(groups[0].has));
});

test("boolean and numeric labels of a classifier are classes", () => {
  assert.deepEqual([["1", 2], ["0", 1]], groupValues([1, 0, 1], [0, 1]).map(({ label, count }) => [label, count]));
  assert.deepEqual([["true", 1], ["false", 0]], groupValues([true], [false, true]).map(({ label, count }) => [label, count]));
});

test("each number is in exactly one of the equal ranges, the ends included", () => {
  const values = [0, 0.1, 3, 7.5, 10, 10, -5];
  const groups = groupValues(values, undefined);

  assert.deepEqual([20, -5, 10], [groups.length, groups[0].from, groups.at(-1).to]);
  assert.deepEqual(values.map(() => 1), values.map((value) => groups.filter(({ has }) => has(value)).length));
  assert.deepEqual(groups.map(({ count }) => count), groups.map(({ has }) => values.filter(has).length));
  assert.equal(0, groups.filter(({ has }) => has(11) || has(null)).length);
});

test("equal numbers are one group", () => {
  assert.deepEqual([[2, 2, 3]], groupValues([2, 2, 2], undefined).map(({ from, to, count }) => [from, to, count]));
});

test("the median of an even number of values is between the two in the middle", () => {
  assert.deepEqual([2.5, 2, null], [median([4, 1, 2, 3]), median([9, 2, 1]), median([])]);
});
