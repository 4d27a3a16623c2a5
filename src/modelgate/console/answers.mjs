// Read responses: convert the response of any dialect to rows. A row has one {name, value, shares, confidence} per output.

import { present } from "./text.mjs";

const READERS = {
  native(json, targets) {
    return (json.predictions || [json]).map((row) => targets.map((target) => {
      const { prediction, probabilities } = row.outputs ? row.outputs[target.name] : row;
      return valueOf(target, prediction, probabilities ? Object.entries(probabilities) : null);
    }));
  },

  mlclever(json, targets, single) {
    const values = single ? [json.predictions] : json.predictions.map((row) => (targets.length > 1 ? row : [row]));
    if (values.some((row) => row.length !== targets.length)) return null;
    const shares = single ? [json.confidence_intervals] : json.confidence_intervals || [];
    const classified = targets.filter((target) => target.classes);
    return values.map((row, index) => {
      const all = shares[index] || [];
      const known = all.length === classified.flatMap((target) => target.classes).length;
      let from = 0;
      return targets.map((target, place) => {
        if (!known || !target.classes) return valueOf(target, row[place]);
        const own = all.slice(from, (from += target.classes.length));
        return valueOf(target, row[place], target.classes.map((label, index) => [label, own[index]]));
      });
    });
  },

  plexe(json, targets) {
    return byTarget(json.result, targets, (target, result) =>
      result !== null && typeof result === "object"
        ? valueOf(target, result.predicted_class, null, result.confidence)
        : valueOf(target, result));
  },

  datarobot(json, targets) {
    const several = targets.length > 1;
    return json.data.map((row) => targets.map((target) => {
      const value = several ? row.prediction[target.name] : row.prediction;
      const prefix = several ? `${target.name}_` : "";
      const own = row.predictionValues.map(({ label, value }) => [String(label), value])
        .filter(([label]) => label.startsWith(prefix));
      // A number has a single value, labelled with the target's name.
      const classified = target.classes || own.some(([label]) => label === prefix + value);
      return valueOf(target, value, classified ? own.map(([label, share]) => [label.slice(prefix.length), share]) : null);
    }));
  },

  peltarion(json, targets) {
    return json.rows.map((row) => targets.map((target) => {
      const value = row[target.name];
      if (value === null || typeof value !== "object") return valueOf(target, value);
      const shares = Object.entries(value);
      return valueOf(target, shares.reduce((most, share) => (share[1] > most[1] ? share : most))[0], shares);
    }));
  },

  simple(json, targets) {
    const several = targets.length > 1;
    const pick = (member, target) => (several ? member?.[target.name] : member);
    return [json].flat().map((row) => targets.map((target) =>
      valueOf(target, pick(row.prediction, target), null, pick(row.confidence, target))));
  },

  open_inference(json, targets) {
    const tensors = new Map(json.outputs.map((tensor) => [tensor.name, tensor]));
    return tensors.get(targets[0].name).data.map((_, index) => targets.map((target) => {
      const shares = tensors.get(`${target.name}_probabilities`);
      const width = shares?.shape[1];
      const own = shares?.data.slice(index * width, (index + 1) * width);
      const labels = shares?.parameters?.classes || target.classes;
      return valueOf(target, tensors.get(target.name).data[index], own && labels.map((label, i) => [label, own[i]]));
    }));
  },

  tf_serving(json, targets) {
    const { outputs } = json;
    if (!outputs || Array.isArray(outputs)) return byTarget(json.predictions || outputs, targets, valueOf);
    return outputs[targets[0].name].map((_, index) => targets.map((target) => valueOf(target, outputs[target.name][index])));
  },

  mlflow(json, targets) {
    return byTarget(json.predictions, targets, valueOf);
  },
};

function valueOf(target, value, shares = null, confidence = null) {
  return { name: target.name, value, shares, confidence };
}

function byTarget(json, targets, read) {
  return [json].flat().map((row) =>
    targets.map((target) => read(target, targets.length > 1 ? row[target.name] : row)));
}

// Return the rows of a response; null for a custom dialect, and for a function whose outputs are not those that its
// deployment names.
export function predictions(dialect, json, targets, single) {
  try {
    const rows = READERS[dialect]?.(json, targets, single) ?? null;
    return rows?.flat().every(isPrediction) ? rows : null;
  } catch {
    return null;
  }
}

function isPrediction({ value, shares, confidence }) {
  const numbers = [...(shares || []).map(([, share]) => share), ...present([confidence])];
  return value !== undefined && (value === null || typeof value !== "object") && numbers.every(Number.isFinite);
}

// Read the message of an error and the errors by column, in the format of any dialect.
export function readErrors(json, columns) {
  const inner = json?.error !== null && typeof json?.error === "object" ? json.error : json || {};
  const message = [inner.error, inner.message, inner.errorMessage, inner.detail].find((text) => typeof text === "string");
  const named = [inner.errors, inner.details].find((value) => value && typeof value === "object");
  const errors = new Map(Object.entries(named || {}));
  for (const name of inner.missing_columns || []) errors.set(name, "is missing");
  if (!errors.size) readSentence(message || "", columns, errors);
  return { message, errors };
}

// Some services report all errors in one sentence: "Invalid input data: age must be a number; plan must be one of free, pro".
function readSentence(message, columns, errors) {
  const names = columns.map((column) => column.name);
  const [, tensor, fault] = /^Tensor '(.*?)': (.*)$/.exec(message) || [];
  if (names.includes(tensor)) errors.set(tensor, fault);
  for (const part of message.split(/: |; /)) {
    const named = names.filter((name) => part.startsWith(`${name} `)).sort((a, b) => b.length - a.length)[0];
    if (named) errors.set(named, part.slice(named.length + 1));
    const listed = part.split(", ");
    if (listed.every((name) => names.includes(name))) listed.forEach((name) => errors.set(name, "is missing"));
  }
}

// RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers) have every window, X-RateLimit-* have one.
export function limits(headers) {
  const items = (name) => new Map([...(headers.get(name) || "").matchAll(/"([^"]*)"((?:;\w+=[^;,]+)*)/g)].map(
    ([, window, rest]) => [window, Object.fromEntries(rest.slice(1).split(";").map((part) => part.split("=")))]));
  const policies = items("ratelimit-policy");
  const windows = [...items("ratelimit")].map(([window, { r, t }]) =>
    ({ window, remaining: Number(r), limit: Number(policies.get(window)?.q), seconds: Number(t) }));
  const remaining = headers.get("x-ratelimit-remaining");
  if (windows.length || remaining === null) return windows;
  const reset = Number(headers.get("x-ratelimit-reset")) - Date.now() / 1000;
  const limit = Number(headers.get("x-ratelimit-limit"));
  return [{ window: null, remaining: Number(remaining), limit, seconds: Math.max(0, Math.ceil(reset)) }];
}

// Server-Timing (W3C): "auth;dur=0.02, cache;desc=hit;dur=0.01, model;dur=0.7".
export function phases(headers) {
  const entries = (headers.get("server-timing") || "").split(",").map((entry) => {
    const [name, ...rest] = entry.trim().split(";");
    const params = Object.fromEntries(rest.map((part) => part.trim().split("=")));
    return { name, about: params.desc?.replaceAll('"', "") ?? "", milliseconds: Number(params.dur) };
  });
  return entries.filter((phase) => Number.isFinite(phase.milliseconds));
}

// Seconds to wait before the next try; null without a Retry-After header.
export function retryAfter(headers) {
  const value = headers.get("retry-after");
  if (value === null) return null;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
}
