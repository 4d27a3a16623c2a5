// What is sent: a dialect's template, its marks filled with rows.

const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;
const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?$/i;

// The value of a column that a text stands for. What it cannot be stays text: the gate says what is wrong with it.
function typed(column, text) {
  const level = (column.levels || []).find((level) => String(level) === text);
  if (level !== undefined) return level;
  if (column.type === "text") return text;
  const bare = text.trim();
  const lower = bare.toLowerCase();
  if (["boolean", "any"].includes(column.type) && ["true", "false"].includes(lower)) return lower === "true";
  if (column.type === "boolean" || !(column.type === "any" ? JSON_NUMBER : NUMBER).test(bare)) return text;
  const number = Number(bare);
  return Number.isFinite(number) && (column.type === "number" || isExact(bare, number)) ? number : text;
}

// Whether a whole number is still the one that was written.
const isExact = (text, number) => !/^[+-]?\d+$/.test(text) || BigInt(text) === BigInt(number);

// By name, whatever the names are: an object of its own kind has a constructor, and takes no __proto__.
const byName = (entries) => ({ __proto__: null, ...Object.fromEntries(entries) });

// A value as in training, with no more digits than a person would type.
function example(column) {
  const told = column.example ?? column.default ?? column.levels?.[0] ?? null;
  return typeof told === "number" ? Number(worded(told)) : told;
}

const cell = (row, column) => row[column.name] ?? column.default ?? null;

const MARKS = {
  "{row}": (columns, rows) => (rows.length === 1 ? rows[0] : rows),
  "{rows}": (columns, rows) => rows,
  "{values}": (columns, rows) => MARKS["{row}"](columns, MARKS["{matrix}"](columns, rows)),
  "{matrix}": (columns, rows) => rows.map((row) => columns.map((column) => cell(row, column))),
  "{names}": (columns) => columns.map((column) => column.name),
  "{columns}": (columns, rows) =>
    Object.fromEntries(columns.map((column) => [column.name, rows.map((row) => cell(row, column))])),
  "{tensors}": (columns, rows) => columns.map((column) => tensor(column, rows.map((row) => cell(row, column)))),
  "{csv}": (columns, rows) => {
    const lines = rows.map((row) => columns.map((column) => cell(row, column) ?? ""));
    return csvText([MARKS["{names}"](columns), ...lines], ",");
  },
};

const DATATYPES = { number: "FP64", integer: "INT64", boolean: "BOOL", text: "BYTES" };

function tensor(column, data) {
  const kinds = new Set(data.filter((value) => value !== null).map((value) => typeof value));
  const found = kinds.size === 1 ? { number: "FP64", boolean: "BOOL" }[[...kinds][0]] : undefined;
  const datatype = DATATYPES[column.type] || found || "BYTES";
  return { name: column.name, shape: [data.length], datatype, data };
}

function fill(template, words, columns, rows) {
  const filled = (value) => fill(value, words, columns, rows);
  if (Array.isArray(template)) return template.map(filled);
  if (template !== null && typeof template === "object") {
    const kept = Object.entries(template).filter(([, value]) => value !== "{key}" || words["{key}"]);
    return Object.fromEntries(kept.map(([name, value]) => [name, filled(value)]));
  }
  if (Object.hasOwn(MARKS, template)) return MARKS[template](columns, rows);
  return Object.hasOwn(words, template) ? words[template] : template;
}

// The request that `sample` makes of rows. Without a key, what would hold one is left out.
function requestOf(sample, deployment, rows, key, base) {
  const words = { "{key}": key, "{deployment}": deployment.name };
  const headers = Object.entries(sample.headers || {}).filter(([, value]) => key || !value.includes("{key}"));
  return {
    method: sample.method,
    url: base + sample.path.replaceAll("{key}", key),
    headers: {
      ...Object.fromEntries(headers.map(([name, value]) => [name, value.replaceAll("{key}", key)])),
      "Content-Type": sample.media_type,
    },
    body: fill(sample.body, words, deployment.input, rows),
    // Of one row some services are sent the row, and answer with no array.
    single: rows.length === 1 && /"\{(row|values)\}"/.test(JSON.stringify(sample.body)),
  };
}

const bodyText = (request) => (typeof request.body === "string" ? request.body : JSON.stringify(request.body));
