// Build requests: a dialect's template, with its placeholders filled from rows.

import { csvText } from "./csv.mjs";
import { formatValue } from "./text.mjs";

const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;
const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?$/i;

// Convert text to a value of a column. Text that does not fit is sent as it is, so that the gate reports the error.
export function parseValue(column, text) {
  const level = (column.levels || []).find((level) => String(level) === text);
  if (level !== undefined) return level;
  if (["text", "datetime", "image"].includes(column.type)) return text;
  if (column.type === "tensor") return parseNested(text);
  const bare = text.trim();
  const lower = bare.toLowerCase();
  // A column of numbers accepts booleans if its schema was read from a model. Otherwise the gate rejects them.
  if (["true", "false"].includes(lower)) return lower === "true";
  if (column.type === "boolean" || !(column.type === "any" ? JSON_NUMBER : NUMBER).test(bare)) return text;
  const number = Number(bare);
  return Number.isFinite(number) && (column.type === "number" || isExact(bare, number)) ? number : text;
}

function parseNested(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// Whether a whole number keeps its exact value as a JavaScript number.
const isExact = (text, number) => !/^[+-]?\d+$/.test(text) || BigInt(text) === BigInt(number);

// An object that accepts any name: ordinary objects already have a constructor and a __proto__.
export const byName = (entries) => ({ __proto__: null, ...Object.fromEntries(entries) });

// An example value from training, rounded to the digits that a person would type.
export function example(column) {
  const value = column.example ?? column.default ?? column.levels?.[0] ?? null;
  return typeof value === "number" ? Number(formatValue(value)) : value;
}

const cell = (row, column) => row[column.name] ?? column.default ?? null;

const PLACEHOLDERS = {
  "{row}": (columns, rows) => (rows.length === 1 ? rows[0] : rows),
  "{rows}": (columns, rows) => rows,
  "{values}": (columns, rows) => PLACEHOLDERS["{row}"](columns, PLACEHOLDERS["{matrix}"](columns, rows)),
  "{matrix}": (columns, rows) => rows.map((row) => columns.map((column) => cell(row, column))),
  "{names}": (columns) => columns.map((column) => column.name),
  "{columns}": (columns, rows) =>
    Object.fromEntries(columns.map((column) => [column.name, rows.map((row) => cell(row, column))])),
  "{tensors}": (columns, rows) => columns.map((column) => tensor(column, rows.map((row) => cell(row, column)))),
  "{csv}": (columns, rows) => {
    const lines = rows.map((row) => columns.map((column) => cell(row, column) ?? ""));
    return csvText([PLACEHOLDERS["{names}"](columns), ...lines], ",");
  },
};

const DATATYPES = { number: "FP64", integer: "INT64", boolean: "BOOL", text: "BYTES", datetime: "BYTES", image: "BYTES" };

function tensor(column, data) {
  if (column.type === "tensor") return { name: column.name, shape: [data.length, ...column.shape], datatype: "FP64", data: data.flat(Infinity) };
  const kinds = new Set(data.filter((value) => value !== null).map((value) => typeof value));
  const inferred = kinds.size === 1 ? { number: "FP64", boolean: "BOOL" }[[...kinds][0]] : undefined;
  const datatype = DATATYPES[column.type] || inferred || "BYTES";
  return { name: column.name, shape: [data.length], datatype, data };
}

function fill(template, values, columns, rows) {
  const fillItem = (item) => fill(item, values, columns, rows);
  if (Array.isArray(template)) return template.map(fillItem);
  if (template !== null && typeof template === "object") {
    const entries = Object.entries(template).filter(([, item]) => item !== "{key}" || values["{key}"]);
    return Object.fromEntries(entries.map(([name, item]) => [name, fillItem(item)]));
  }
  if (Object.hasOwn(PLACEHOLDERS, template)) return PLACEHOLDERS[template](columns, rows);
  return Object.hasOwn(values, template) ? values[template] : template;
}

// Return the request for rows in the wire format of `sample`. Without a key, members and headers for it are left out.
export function buildRequest(sample, deployment, rows, key, base) {
  const values = { "{key}": key, "{deployment}": deployment.name };
  const headers = Object.entries(sample.headers || {}).filter(([, value]) => key || !value.includes("{key}"));
  return {
    method: sample.method,
    url: base + sample.path.replaceAll("{key}", key),
    headers: {
      ...Object.fromEntries(headers.map(([name, value]) => [name, value.replaceAll("{key}", key)])),
      "Content-Type": sample.media_type,
    },
    body: fill(sample.body, values, deployment.input, rows),
    // For the client of this package, which builds the request itself.
    client: sample.dialect === "native" ? { url: base + deployment.name, rows } : null,
    // Some services accept a single row instead of an array, and then do not return an array.
    single: rows.length === 1 && /"\{(row|values)\}"/.test(JSON.stringify(sample.body)),
  };
}

export const bodyText = (request) => (typeof request.body === "string" ? request.body : JSON.stringify(request.body));
