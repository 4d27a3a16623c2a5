// What came back, shown: a prediction or a problem, and the facts of the exchange.

const MOST_BARS = 20;

function output(target) {
  const { name, value, shares, confidence } = target;
  const told = shares ? [...shares].sort((a, b) => b[1] - a[1]) : confidence === null ? [] : [[value, confidence]];
  const more = told.length - MOST_BARS;
  return make("div", { class: "output" },
    muted(name),
    make("p", { class: "value" }, worded(value)),
    told.length ? make("ul", { class: "bars" }, ...told.slice(0, MOST_BARS).map((share) => bar(share, value))) : null,
    more > 0 ? muted(`and ${count(more)} less probable`) : null,
    told.length && !shares ? muted("This wire format tells the confidence of the predicted class alone.") : null);
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

const WORDS = {
  401: ["The key was not accepted", "Enter it again, whole and as it was given to you, or ask its issuer for a new one."],
  403: ["This is not allowed", "Ask whoever issued the key, or runs the gate."],
  404: ["There is no such deployment", "Is its name in the address right?"],
  413: ["Too much at once", "Send fewer rows in a request."],
  429: ["Too many requests", ""],
  503: ["Not available right now", ""],
};

// What went wrong in words, what to do, and what is wrong by column.
function explained({ status, headers, text, told, late }, columns = []) {
  if (status === 0) {
    const title = late ? `No answer within ${PATIENCE / 1000} seconds` : "No answer came";
    const advice = "The server is not there, or the connection was cut. Is it running, and are you online? Then try again.";
    return { title, advice, errors: new Map() };
  }
  const { message, errors } = faults(told, columns);
  const wait = retryAfter(headers);
  const again = `Try again in ${wait === null ? "a moment" : span(wait)}.`;
  if (told === null && status < 400) {
    const advice = "Is there a login in front of it? Then open this page anew.";
    return { title: "This is no answer of a gate", advice, errors };
  }
  const others = status >= 500
    ? ["The server failed", `Whoever runs it finds more in its log, under the id ${headers.get("x-request-id") ?? "of the request"}.`]
    : ["The input was refused", errors.size ? "Mend the fields that are marked." : "Change it and try again."];
  const [title, advice] = WORDS[status] || others;
  const foreign = `Something in front of the gate has answered with ${status}: ${text.slice(0, 200)}`;
  return { title, message: told === null ? foreign : message, advice: advice || again, errors };
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
    ...limits(headers).map(({ window, left, of, seconds }) =>
      fact("Limit", `${count(left)} of ${count(of)} left`, present([window, `resets in ${span(seconds)}`]).join(", "))),
    hit === null ? null : fact("Model", hit === "true" ? "from the cache" : "loaded for this request"),
    id === null ? null : fact("Request id", make("code", {}, id)),
  ]));
}

function timing(phases) {
  const parts = phases.filter((phase) => phase.name !== "total");
  if (!parts.length) return null;
  return make("div", { class: "timing" },
    make("div", { class: "stack", "aria-hidden": "true" },
      // Below 1 in all they would not fill the line.
      ...parts.map(({ milliseconds }) => make("span", { style: { flexGrow: milliseconds * 1000 } }))),
    make("ul", { "aria-label": "Time in the server, by phase" },
      ...parts.map(({ name, about, milliseconds }) =>
        make("li", {}, `${name}${about && ` (${about})`} `, make("b", {}, `${milliseconds.toFixed(2)} ms`)))));
}

const lines = (pairs) => [...pairs].map(([name, value]) => `${name}: ${value}\n`).join("");

function asSent({ method, url, headers, body }) {
  return `${method} ${url}\n${lines(Object.entries(headers))}\n${typeof body === "string" ? body : asJSON(body)}`;
}

function asReceived({ status, headers, text, told }) {
  return status ? `HTTP ${status}\n${lines(headers)}\n${told === null ? text : asJSON(told)}` : "No answer came.";
}
