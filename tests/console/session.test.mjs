import assert from "node:assert/strict";
import { test } from "node:test";
import { Session, changedColumns } from "../../src/modelgate/console/session.mjs";
import { rowFragment, rowInFragment } from "../../src/modelgate/console/link.mjs";

const COLUMNS = [{ name: "age" }, { name: "plan" }, { name: "__proto__" }];

test("rows differ in the columns whose values differ, or that one of them lacks", () => {
  assert.deepEqual(["age", "plan"], changedColumns({ age: 1, name: "x" }, { age: "1", name: "x", plan: null }));
});

test("undo returns the row before the last step", () => {
  const session = new Session();
  [{ age: 1 }, { age: 2 }, { age: 2 }, { age: 2, plan: "pro" }].forEach((row, index) => session.visit(row, index * 9000));

  assert.deepEqual({ age: 2 }, session.undo());
  assert.deepEqual({ age: 1 }, session.undo());
  assert.equal(null, session.undo());
});

test("changes of one column in quick succession are one step, and one entry of the history", () => {
  const session = new Session();
  [1, 2, 3, 4].forEach((age, index) => {
    session.visit({ age, plan: "pro" }, index * 500);
    session.record({ age, plan: "pro" }, `text ${age}`, index * 500);
  });
  session.record({ age: 4, plan: "free" }, "text", 1600);

  assert.deepEqual([1, 4, 4], session.entries.map(({ row }) => row.age));
  assert.deepEqual([[], ["age"], ["plan"]], session.entries.map(({ changes }) => changes));
  assert.deepEqual({ age: 1, plan: "pro" }, session.undo());
});

test("the same row again updates its entry", () => {
  const session = new Session();
  session.record({ age: 1 }, "0.4", 0);
  session.record({ age: 1 }, "0.5", 9000);

  assert.deepEqual(["0.5"], session.entries.map(({ text }) => text));
});

test("a link restores the row, with any text in it", () => {
  const row = { __proto__: null, age: 41.5, plan: "50 % & \"more\" #1 é", ["__proto__"]: null };

  assert.deepEqual(row, rowInFragment(rowFragment(row), COLUMNS));
});

test("a link restores no other columns, and nothing that is not a row", () => {
  assert.deepEqual(["age"], Object.keys(rowInFragment('#row={"age":1,"key":"mg_x"}', COLUMNS)));
  for (const fragment of ["", "#main", "#row=", "#row=[1]", "#row=null", "#row=%E0%A4%A", "#row=3"]) {
    assert.equal(null, rowInFragment(fragment, COLUMNS), fragment);
  }
});

test("a row with an image is too large for a link", () => {
  assert.equal(null, rowFragment({ photo: "x".repeat(9000) }));
});
