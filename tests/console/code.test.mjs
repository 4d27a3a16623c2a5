import assert from "node:assert/strict";
import { test } from "node:test";
import { clientsOf, missingShares, nativeFirst } from "../../src/modelgate/console/clients.mjs";
import { CODE, KEY, languagesOf } from "../../src/modelgate/console/code.mjs";
import { eitherOf, plural, rounded } from "../../src/modelgate/console/text.mjs";

const REQUEST = {
  url: "http://localhost/ml/deployments/wine/predict",
  headers: { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" },
  body: { alcohol: 14.2, note: 'a)" b', empty: null },
  client: { url: "http://localhost/ml/wine", rows: [{ alcohol: 14.2, fresh: true, empty: null }] },
};

test("R reads the key from the environment, and has the body as a raw string that no text ends early", () => {
  const lines = CODE.R(REQUEST).split("\n");

  assert.ok(lines.includes('    Authorization = paste0("Bearer ", Sys.getenv("MODELGATE_KEY")),'));
  assert.ok(lines.includes('    `Content-Type` = "application/json"'));
  assert.ok(lines.includes('  req_body_raw(r"({"alcohol": 14.2, "note": "a)\\" b", "empty": null})") |>'));
  assert.match(CODE.R({ ...REQUEST, body: 'x)" )-"' }), /req_body_raw\(r"--\(x\)" \)-"\)--"\)/);
});

test("R quotes a key in the body apart from the text around it", () => {
  assert.match(CODE.R({ ...REQUEST, body: { key: KEY } }), /paste0\(r"\(\{"key": "\)", Sys\.getenv\("MODELGATE_KEY"\), r"\("\}\)"\)/);
});

test("the Python client gets the row in Python's words, and the key header of the gate", () => {
  const code = CODE["Python client"](REQUEST);

  assert.match(code, /with Client\("http:\/\/localhost\/ml\/wine", key=os\.environ\["MODELGATE_KEY"\]\) as client:/);
  assert.match(code, /client\.predict\(\{"alcohol": 14\.2, "fresh": True, "empty": None\}\)/);
  assert.match(CODE["Python client"]({ ...REQUEST, headers: { "X-API-Key": KEY } }), /key_header="x-api-key"\)/);
  assert.doesNotMatch(CODE["Python client"]({ ...REQUEST, headers: {} }), /key|import os/);
});

test("only the wire format that the Python client speaks has its code", () => {
  assert.ok(languagesOf(REQUEST).includes("Python client"));
  assert.deepEqual(["curl", "Python", "JavaScript", "R"], languagesOf({ ...REQUEST, client: null }));
});

test("the wire format native is first, and others keep their order", () => {
  const sorted = nativeFirst([{ dialect: "plexe" }, { dialect: "ours" }, { dialect: "native" }]);

  assert.deepEqual(["native", "plexe", "ours"], sorted.map(({ dialect }) => dialect));
  assert.equal("ours", clientsOf("ours").label);
});

test("a wire format without probabilities says so for a classifier", () => {
  const [classifier, regressor] = [[{ name: "y", classes: ["a", "b"] }], [{ name: "y" }]];

  assert.match(missingShares("tf_serving", classifier), /no probabilities/);
  assert.match(missingShares("plexe", classifier), /predicted class only/);
  assert.deepEqual(["", "", ""], [missingShares("tf_serving", regressor), missingShares("native", classifier), missingShares("ours", classifier)]);
});

test("numbers are rounded for people, but not before their point", () => {
  assert.deepEqual(["0.1235", "152.3", "123457", "1065", "1e-9", "a"], [0.123456, 152.34567, 123456.7, 1065, 1e-9, "a"].map(rounded));
});

test("words for several things", () => {
  assert.deepEqual(["a", "a or b", "a, b or c"], [eitherOf(["a"]), eitherOf(["a", "b"]), eitherOf(["a", "b", "c"])]);
  assert.deepEqual(["1 class", "10 classes", "2 rows"], [plural(1, "class"), plural(10, "class"), plural(2, "row")]);
});
