// What came back: each dialect's answer as rows of {name, value, shares, confidence}, one an output of the model.

const READERS = {
  mlclever(told, targets, single) {
    const values = single ? [told.predictions] : told.predictions.map((row) => (targets.length > 1 ? row : [row]));
    if (values.some((row) => row.length !== targets.length)) return null;
    const shares = single ? [told.confidence_intervals] : told.confidence_intervals || [];
    const classified = targets.filter((target) => target.classes);
    return values.map((row, at) => {
      const all = shares[at] || [];
      const known = all.length === classified.flatMap((target) => target.classes).length;
      let from = 0;
      return targets.map((target, place) => {
        if (!known || !target.classes) return valueOf(target, row[place]);
        const own = all.slice(from, (from += target.classes.length));
        return valueOf(target, row[place], target.classes.map((label, index) => [label, own[index]]));
      });
    });
  },

  plexe(told, targets) {
    return byTarget(told.result, targets, (target, result) =>
      result !== null && typeof result === "object"
        ? valueOf(target, result.predicted_class, null, result.confidence)
        : valueOf(target, result));
  },

  datarobot(told, targets) {
    const several = targets.length > 1;
    return told.data.map((row) => targets.map((target) => {
      const value = several ? row.prediction[target.name] : row.prediction;
      const prefix = several ? `${target.name}_` : "";
      const own = row.predictionValues.map((each) => [String(each.label), each.value])
        .filter(([label]) => label.startsWith(prefix));
      // Of a number there is one value, under the name of what is predicted.
      const classified = target.classes || own.some(([label]) => label === prefix + value);
      return valueOf(target, value, classified ? own.map(([label, share]) => [label.slice(prefix.length), share]) : null);
    }));
  },

  peltarion(told, targets) {
    return told.rows.map((row) => targets.map((target) => {
      const value = row[target.name];
      if (value === null || typeof value !== "object") return valueOf(target, value);
      const shares = Object.entries(value);
      return valueOf(target, shares.reduce((most, share) => (share[1] > most[1] ? share : most))[0], shares);
    }));
  },

  simple(told, targets) {
    const several = targets.length > 1;
    const of = (member, target) => (several ? member?.[target.name] : member);
    return [told].flat().map((row) => targets.map((target) =>
      valueOf(target, of(row.prediction, target), null, of(row.confidence, target))));
  },

  open_inference(told, targets) {
    const tensors = new Map(told.outputs.map((each) => [each.name, each]));
    return tensors.get(targets[0].name).data.map((_, at) => targets.map((target) => {
      const shares = tensors.get(`${target.name}_probabilities`);
      const width = shares?.shape[1];
      const own = shares?.data.slice(at * width, (at + 1) * width);
      const labels = shares?.parameters?.classes || target.classes;
      return valueOf(target, tensors.get(target.name).data[at], own && labels.map((label, i) => [label, own[i]]));
    }));
  },

  tf_serving(told, targets) {
    const { outputs } = told;
    if (!outputs || Array.isArray(outputs)) return byTarget(told.predictions || outputs, targets, valueOf);
    return outputs[targets[0].name].map((_, at) => targets.map((each) => valueOf(each, outputs[each.name][at])));
  },

  mlflow(told, targets) {
    return byTarget(told.predictions, targets, valueOf);
  },
};

function valueOf(target, value, shares = null, confidence = null) {
  return { name: target.name, value, shares, confidence };
}

function byTarget(told, targets, read) {
  return [told].flat().map((row) =>
    targets.map((target) => read(target, targets.length > 1 ? row[target.name] : row)));
}

// The rows of an answer; null where its dialect is none of these, as one of somebody's own, and where a function has
// predicted others than its deployment names.
function predictions(dialect, told, targets, single) {
  try {
    const rows = READERS[dialect]?.(told, targets, single) ?? null;
    return rows?.flat().every(isPrediction) ? rows : null;
  } catch {
    return null;
  }
}

function isPrediction({ value, shares, confidence }) {
  const numbers = [...(shares || []).map(([, share]) => share), ...present([confidence])];
  return value !== undefined && (value === null || typeof value !== "object") && numbers.every(Number.isFinite);
}

// What an error says: its message, and what is wrong by column, in whichever words of the dialects.
function faults(told, columns) {
  const inner = told?.error !== null && typeof told?.error === "object" ? told.error : told || {};
  const message = [inner.error, inner.message, inner.errorMessage].find((each) => typeof each === "string");
  const named = [inner.errors, inner.details].find((each) => each && typeof each === "object");
  const errors = new Map(Object.entries(named || {}));
  for (const name of inner.missing_columns || []) errors.set(name, "is missing");
  if (!errors.size) tellApart(message || "", columns, errors);
  return { message, errors };
}

// Services that answer in one sentence: "Invalid input data: age must be a number; plan must be one of free, pro".
function tellApart(message, columns, errors) {
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

// RateLimit and its policy (draft-ietf-httpapi-ratelimit-headers) tell of every window, X-RateLimit-* of one.
function limits(headers) {
  const items = (name) => new Map([...(headers.get(name) || "").matchAll(/"([^"]*)"((?:;\w+=[^;,]+)*)/g)].map(
    ([, window, rest]) => [window, Object.fromEntries(rest.slice(1).split(";").map((each) => each.split("=")))]));
  const policies = items("ratelimit-policy");
  const windows = [...items("ratelimit")].map(([window, { r, t }]) =>
    ({ window, left: Number(r), of: Number(policies.get(window)?.q), seconds: Number(t) }));
  const left = headers.get("x-ratelimit-remaining");
  if (windows.length || left === null) return windows;
  const reset = Number(headers.get("x-ratelimit-reset")) - Date.now() / 1000;
  const of = Number(headers.get("x-ratelimit-limit"));
  return [{ window: null, left: Number(left), of, seconds: Math.max(0, Math.ceil(reset)) }];
}

// Server-Timing (W3C): "auth;dur=0.02, cache;desc=hit;dur=0.01, model;dur=0.7".
function phases(headers) {
  const told = (headers.get("server-timing") || "").split(",").map((entry) => {
    const [name, ...rest] = entry.trim().split(";");
    const words = Object.fromEntries(rest.map((each) => each.trim().split("=")));
    return { name, about: words.desc?.replaceAll('"', "") ?? "", milliseconds: Number(words.dur) };
  });
  return told.filter((phase) => Number.isFinite(phase.milliseconds));
}

// Seconds that a refusal asks to wait; null where it names none.
function retryAfter(headers) {
  const told = headers.get("retry-after");
  if (told === null) return null;
  const seconds = /^\d+$/.test(told) ? Number(told) : (Date.parse(told) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
}
