import assert from "node:assert/strict";
import { test } from "node:test";
import { buildRequest, parseValue } from "../../src/modelgate/console/requests.mjs";
import { csvText, readCSV } from "../../src/modelgate/console/csv.mjs";

test("text that is not exactly a number of the column is sent as text", () => {
  assert.equal(12.5, parseValue({ type: "number" }, " 12.5 "));
  assert.equal("1e400", parseValue({ type: "number" }, "1e400"));
  assert.equal("9007199254740993", parseValue({ type: "integer" }, "9007199254740993"));
  assert.equal("007", parseValue({ type: "any" }, "007"));
  assert.equal("1,5", parseValue({ type: "number" }, "1,5"));
});

test("text that is a level is that level, with its type", () => {
  assert.equal(2, parseValue({ type: "integer", levels: [1, 2] }, "2"));
  assert.equal("2", parseValue({ type: "text", levels: ["1", "2"] }, "2"));
  assert.equal(true, parseValue({ type: "boolean" }, "True"));
});

test("a request without a key has no members and headers for it", () => {
  const sample = {
    method: "POST", path: "predict", media_type: "application/json",
    headers: { Authorization: "Bearer {key}" }, body: { api_key: "{key}", rows: "{rows}", to: "{deployment}" },
  };
  const deployment = { name: "churn", input: [{ name: "age" }] };
  const call = (key) => buildRequest(sample, deployment, [{ age: 1 }], key, "http://host/");

  assert.deepEqual({ rows: [{ age: 1 }], to: "churn" }, call("").body);
  assert.deepEqual({ "Content-Type": "application/json" }, call("").headers);
  assert.equal("k", call("k").body.api_key);
  assert.equal("Bearer k", call("k").headers.Authorization);
});

test("a CSV file is read as it was written", () => {
  const lines = [["a", "b"], ['say "hi"', "x,y"], ["", "two\nlines"]];
  const { header, rows } = readCSV(csvText(lines, ","));

  assert.deepEqual(lines, [header, ...rows.map(({ cells }) => cells)]);
  assert.deepEqual([2, 3], rows.map(({ line }) => line));
});
