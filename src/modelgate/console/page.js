// The page: the key, the deployment, and the requests.

const MASKED_KEY = "••••••••";
const TIMEOUT = 60_000;

// Relative to the page's own path, so that it works below any mount point.
const [, BASE, NAME] = /^(.*\/)deployments\/([^/]+)\/console\/*$/.exec(location.pathname) || [null, "./", ""];
const KEYED = document.documentElement.dataset.keyed === "yes";
const KEY_HEADER = document.documentElement.dataset.keyHeader;

const state = { key: "", deployment: null, sample: null, language: "curl", times: [] };

// Send a request and return the response, with status 0 if there is none.
async function send(call, signal) {
  const { method, url, headers } = call;
  const startedAt = performance.now();
  const signals = present([AbortSignal.timeout(TIMEOUT), signal]);
  try {
    const body = method === "GET" ? undefined : bodyText(call);
    const response = await fetch(url, { method, headers, body, cache: "no-store", signal: AbortSignal.any(signals) });
    const text = await response.text();
    const milliseconds = performance.now() - startedAt;
    return { status: response.status, headers: response.headers, text, json: parseJSON(text), milliseconds };
  } catch (error) {
    signal?.throwIfAborted();
    return { status: 0, headers: new Headers(), text: "", json: null, late: error.name === "TimeoutError" };
  }
}

function parseJSON(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function credentials() {
  if (!state.key) return {};
  return KEY_HEADER === "authorization" ? { Authorization: `Bearer ${state.key}` } : { [KEY_HEADER]: state.key };
}

async function open() {
  const answer = await send({ method: "GET", url: `${BASE}deployments/${NAME}`, headers: credentials() });
  if (answer.status === 200 && answer.json?.requests?.length) return begin(answer.json);
  const needsKey = answer.status === 401 && !state.key;
  if (!needsKey) showFault(answer);
  if (KEYED || answer.status === 401) askForKey();
}

function showFault(answer) {
  const title = "This page cannot send requests to this deployment";
  const none = { title, advice: "None of the gate's wire formats has a sample request." };
  show("fault", problem(answer.json?.requests ? none : explain(answer)));
  $("fault").hidden = false;
  $("fault").scrollIntoView({ block: "nearest" });
}

function askForKey() {
  state.key = "";
  $("gate").hidden = false;
  $("console").hidden = $("tools").hidden = true;
  $("key").select();
}

function begin(deployment) {
  const { name, version, input, output } = deployment;
  const schema = asJSON({ name, version, input, output });
  const isSame = schema === $("schema").querySelector("pre").textContent;
  state.deployment = deployment;
  $("key").value = "";
  $("gate").hidden = $("fault").hidden = true;
  $("console").hidden = $("tools").hidden = false;
  $("change-key").hidden = !state.key;
  const targets = output.map(({ name, classes }) => name + (classes ? ` (${count(classes.length)}\u00a0classes)` : ""));
  $("about").textContent = `Version ${version} · ${plural(input.length, "input")} · predicts ${targets.join(", ")}`;
  $("schema").querySelector("pre").textContent = schema;
  // The form is not cleared when only the key changes.
  if (!isSame) show("fields", ...input.map(field));
  offerCurves(deployment);
  show("dialect", ...deployment.requests.map(({ dialect }, index) => make("option", { value: index }, dialect)));
  choose(deployment.requests[0]);
  if (deployment.time_series) beginSeries(deployment);
  else control(0)?.focus();
}

function choose(sample) {
  state.sample = sample;
  showCode();
}

function request(rows, key, sample = state.sample) {
  return buildRequest(sample, state.deployment, rows, key, new URL(BASE, location.href).href);
}

// Request a Server-Timing header (Prefer, RFC 7240).
const withTiming = (call) => ({ ...call, headers: { ...call.headers, Prefer: "server-timing" } });

async function predict(event) {
  event.preventDefault();
  const { sample, deployment: { input, output: targets } } = state;
  const call = withTiming(request([enteredRow(input)], state.key));
  $("predict").disabled = true;
  const answer = await send(call);
  $("predict").disabled = false;
  $("received").querySelector("pre").textContent = asReceived(answer);
  if (answer.status === 401) return showFault(answer), askForKey();
  const failure = answer.status === 200 ? { errors: new Map() } : explain(answer, input);
  pill(answer.status);
  showErrors(input, failure.errors);
  show("result", ...(failure.title ? [problem(failure)] : outputs(predictions(sample.dialect, answer.json, targets, call.single))));
  if (answer.status) state.times.push(answer.milliseconds);
  const parts = phases(answer.headers);
  show("facts", ...(answer.status ? [timing(parts), facts(answer.headers, parts, state.times)] : []));
  if (!failure.errors.size) $("result-title").scrollIntoView({ block: "nearest" });
}

function outputs(rows) {
  if (rows) return rows[0].map(output);
  $("received").open = true;
  return [muted("The response is shown below as received: this page cannot read this wire format, or the outputs are not those that the deployment names.")];
}

function pill(status) {
  $("status").hidden = false;
  $("status").className = `pill ${status === 200 ? "good" : "bad"}`;
  $("status").textContent = status || "no response";
}

// Show the example code, and the request as it would be sent.
function showCode() {
  if (!state.sample) return;
  const { input } = state.deployment;
  const { row, usesExamples } = codeRow(input);
  $("code").textContent = CODE[state.language](request([row], state.key && KEY));
  show("code-note", usesExamples ? "Empty fields have the values of a typical row. " : null, state.key ? `The key is read from the environment variable ${VARIABLE}.` : null);
  $("sent").querySelector("pre").textContent = asSent(withTiming(request([enteredRow(input)], state.key && MASKED_KEY)));
}

function selectLanguage(language) {
  state.language = language;
  for (const tab of $("languages").children) {
    tab.setAttribute("aria-selected", String(tab.value === language));
    tab.tabIndex = tab.value === language ? 0 : -1;
  }
  $("code").setAttribute("aria-labelledby", `tab-${language}`);
  showCode();
}

function showLanguages() {
  const names = Object.keys(CODE);
  const tab = (value) => make("button", { type: "button", role: "tab", id: `tab-${value}`, "aria-controls": "code", value }, value);
  show("languages", ...names.map(tab));
  $("languages").addEventListener("click", ({ target }) => target.value && selectLanguage(target.value));
  $("languages").addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    selectLanguage(names.at((names.indexOf(state.language) + step) % names.length));
    $(`tab-${state.language}`).focus();
  });
  selectLanguage(state.language);
}

async function openAPI() {
  const answer = await send({ method: "GET", url: `${BASE}deployments/${NAME}/openapi.json`, headers: credentials() });
  if (answer.status === 200) download(`${NAME}.openapi.json`, answer.text);
  else showFault(answer);
}

async function copy() {
  // Without https there is no clipboard: the code is selected, so that it can be copied by hand.
  const copied = await navigator.clipboard?.writeText($("code").textContent).then(() => true, () => false);
  if (!copied) getSelection().selectAllChildren($("code"));
  $("copy").textContent = copied ? "Copied" : "Selected";
  setTimeout(() => show("copy", "Copy"), 1500);
}

// Accept files that are dropped anywhere on the page; the browser would open them instead.
function acceptDrops() {
  for (const name of ["dragover", "dragleave", "drop"]) {
    addEventListener(name, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", name === "dragover");
      if (name === "drop" && $("drop").checkVisibility()) loadFile(event.dataTransfer.files[0]);
    });
  }
}

function listen() {
  const on = (id, name, listener) => $(id).addEventListener(name, listener);
  on("gate", "submit", (event) => {
    event.preventDefault();
    state.key = $("key").value.trim();
    open();
  });
  on("change-key", "click", askForKey);
  on("inputs", "submit", predict);
  on("inputs", "input", showCode);
  on("typical", "click", () => (fillIn(state.deployment.input, example), showCode()));
  on("clear", "click", () => (fillIn(state.deployment.input, () => null), showCode()));
  on("dialect", "change", ({ target }) => choose(state.deployment.requests[target.value]));
  on("curve-column", "change", drawCurve);
  on("forecast", "submit", forecast);
  on("history", "input", showPoints);
  on("point", "change", () => forecast());
  on("copy", "click", copy);
  on("openapi", "click", openAPI);
  on("file", "change", ({ target }) => loadFile(target.files[0]).then(() => (target.value = "")));
  // A page restored from the browser's back/forward cache would still have its key.
  addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
}

$("name").textContent = NAME;
document.title = `${NAME} · modelgate`;
listen();
acceptDrops();
showLanguages();
if (KEYED) askForKey();
else open();
