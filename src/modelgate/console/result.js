// Show a response: the prediction or the problem, and facts about the request.

const MAX_BARS = 20;

function output(target) {
  const { name, value, shares, confidence } = target;
  const bars = shares ? [...shares].sort((a, b) => b[1] - a[1]) : confidence === null ? [] : [[value, confidence]];
  const more = bars.length - MAX_BARS;
  return make("div", { class: "output" },
    muted(name),
    make("p", { class: "value" }, formatValue(value)),
    bars.length ? make("ul", { class: "bars" }, ...bars.slice(0, MAX_BARS).map((share) => bar(share, value))) : null,
    more > 0 ? muted(`and ${count(more)} less probable`) : null,
    bars.length && !shares ? muted("This wire format only has the confidence of the predicted class.") : null);
}

function bar([label, share], value) {
  return make("li", { class: String(label) === String(value) ? "chosen" : "" },
    make("span", { class: "label", title: String(label) }, String(label)),
    make("span", { class: "track", "aria-hidden": "true" }, make("span", { style: { width: `${share * 100}%` } })),
    make("span", { class: "share" }, percent(share)));
}

function problem({ title, message, advice }) {
  return make("div", { class: "problem" },
    make("p", { class: "strong" }, title), message ? make("p", {}, message) : null, make("p", { class: "muted" }, advice));
}

const PROBLEMS = {
  401: ["The key was not accepted", "Enter the complete key again, or ask its issuer for a new one."],
  403: ["This is not allowed", "Ask the issuer of the key, or the operator of the gate."],
  404: ["There is no such deployment", "Is its name in the address right?"],
  413: ["Too much in one request", "Send fewer rows at a time."],
  429: ["Too many requests", ""],
  503: ["Not available right now", ""],
};

// Explain a failed request: what went wrong, what to do, and the errors by column.
function explain({ status, headers, text, json, late }, columns = []) {
  if (status === 0) {
    const title = late ? `No response within ${TIMEOUT / 1000} seconds` : "No response";
    const advice = "The server cannot be reached, or the connection was interrupted. Is it running, and are you online? Then try again.";
    return { title, advice, errors: new Map() };
  }
  const { message, errors } = readErrors(json, columns);
  const wait = retryAfter(headers);
  const again = `Try again in ${wait === null ? "a moment" : span(wait)}.`;
  if (json === null && status < 400) {
    const advice = "Is there a login in front of it? Then reload this page.";
    return { title: "This is not a response of a gate", advice, errors };
  }
  const others = status >= 500
    ? ["The server failed", `Its operator can find the error in the log, under the id ${headers.get("x-request-id") ?? "of the request"}.`]
    : ["The input was rejected", errors.size ? "Fix the marked fields." : "Change it and try again."];
  const [title, advice] = PROBLEMS[status] || others;
  const foreign = `A server in front of the gate responded with ${status}: ${text.slice(0, 200)}`;
  return { title, message: json === null ? foreign : message, advice: advice || again, errors };
}

function facts(headers, phases, times) {
  const total = phases.find((phase) => phase.name === "total");
  const sorted = [...times].sort((a, b) => a - b);
  const median = `half of ${count(times.length)} within ${sorted[times.length >> 1].toFixed(0)} ms`;
  const hit = headers.get("x-model-cache-hit") ?? headers.get("x-datarobot-model-cache-hit");
  const id = headers.get("x-request-id");
  const fact = (name, value, aside) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value, aside ? make("span", { class: "muted" }, ` · ${aside}`) : ""));
  return make("dl", {}, ...present([
    fact("Time", `${times.at(-1).toFixed(0)} ms`, present([
      total ? `${total.milliseconds.toFixed(1)} ms in the server` : "", times.length > 2 ? median : ""]).join(", ")),
    ...limits(headers).map(({ window, remaining, limit, seconds }) =>
      fact("Limit", `${count(remaining)} of ${count(limit)} left`, present([window, `resets in ${span(seconds)}`]).join(", "))),
    hit === null ? null : fact("Model", hit === "true" ? "from the cache" : "loaded for this request"),
    id === null ? null : fact("Request id", make("code", {}, id)),
  ]));
}

function timing(phases) {
  const parts = phases.filter((phase) => phase.name !== "total");
  if (!parts.length) return null;
  return make("div", { class: "timing" },
    make("div", { class: "stack", "aria-hidden": "true" },
      // Scaled up, as a total flex-grow below 1 would not fill the line.
      ...parts.map(({ milliseconds }) => make("span", { style: { flexGrow: milliseconds * 1000 } }))),
    make("ul", { "aria-label": "Time in the server, by phase" },
      ...parts.map(({ name, about, milliseconds }) =>
        make("li", {}, `${name}${about && ` (${about})`} `, make("b", {}, `${milliseconds.toFixed(2)} ms`)))));
}

const lines = (pairs) => [...pairs].map(([name, value]) => `${name}: ${value}\n`).join("");

function asSent({ method, url, headers, body }) {
  return `${method} ${url}\n${lines(Object.entries(headers))}\n${typeof body === "string" ? body : asJSON(body)}`;
}

function asReceived({ status, headers, text, json }) {
  return status ? `HTTP ${status}\n${lines(headers)}\n${json === null ? text : asJSON(json)}` : "No response.";
}
