// The page: the key, what it opens, and what is asked.

const STAND_IN = "••••••••";
const PATIENCE = 60_000;

// From where the page is, so that it works below any mount point.
const [, BASE, NAME] = /^(.*\/)deployments\/([^/]+)\/console\/*$/.exec(location.pathname) || [null, "./", ""];
const KEYED = document.documentElement.dataset.keyed === "yes";

const state = { key: "", deployment: null, sample: null, language: "curl", times: [] };

// One exchange; of status 0 where no answer came.
async function send(asked, signal) {
  const { method, url, headers } = asked;
  const started = performance.now();
  const signals = present([AbortSignal.timeout(PATIENCE), signal]);
  try {
    const body = method === "GET" ? undefined : bodyText(asked);
    const response = await fetch(url, { method, headers, body, cache: "no-store", signal: AbortSignal.any(signals) });
    const text = await response.text();
    const milliseconds = performance.now() - started;
    return { status: response.status, headers: response.headers, text, told: parsed(text), milliseconds };
  } catch (error) {
    signal?.throwIfAborted();
    return { status: 0, headers: new Headers(), text: "", told: null, late: error.name === "TimeoutError" };
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const credentials = () => (state.key ? { Authorization: `Bearer ${state.key}` } : {});

async function open() {
  const answer = await send({ method: "GET", url: `${BASE}deployments/${NAME}`, headers: credentials() });
  if (answer.status === 200 && answer.told?.requests?.length) return begin(answer.told);
  const untried = answer.status === 401 && !state.key;
  if (!untried) complain(answer);
  if (KEYED || answer.status === 401) askForKey();
}

function complain(answer) {
  const none = { title: "This page cannot ask it", advice: "No wire format of its gate tells how: none has a sample." };
  show("fault", problem(answer.told?.requests ? none : explained(answer)));
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
  const told = asJSON({ name, version, input, output });
  const same = told === $("schema").querySelector("pre").textContent;
  state.deployment = deployment;
  $("key").value = "";
  $("gate").hidden = $("fault").hidden = true;
  $("console").hidden = $("tools").hidden = false;
  $("change-key").hidden = !state.key;
  const targets = output.map(({ name, classes }) => name + (classes ? ` (${count(classes.length)}\u00a0classes)` : ""));
  $("about").textContent = `Version ${version} · ${plural(input.length, "input")} · predicts ${targets.join(", ")}`;
  $("schema").querySelector("pre").textContent = told;
  // With another key, what has been typed in stays.
  if (!same) show("fields", ...input.map(field));
  show("dialect", ...deployment.requests.map(({ dialect }, at) => make("option", { value: at }, dialect)));
  choose(deployment.requests[0]);
  control(0)?.focus();
}

function choose(sample) {
  state.sample = sample;
  write();
}

function request(rows, key, sample = state.sample) {
  return requestOf(sample, state.deployment, rows, key, new URL(BASE, location.href).href);
}

// Asks where the time goes, which a gate tells in Server-Timing (RFC 7240).
const timed = (asked) => ({ ...asked, headers: { ...asked.headers, Prefer: "server-timing" } });

async function predict(event) {
  event.preventDefault();
  const { sample, deployment: { input, output: targets } } = state;
  const asked = timed(request([typedRow(input)], state.key));
  $("predict").disabled = true;
  const answer = await send(asked);
  $("predict").disabled = false;
  $("received").querySelector("pre").textContent = asReceived(answer);
  if (answer.status === 401) return complain(answer), askForKey();
  const told = answer.status === 200 ? { errors: new Map() } : explained(answer, input);
  pill(answer.status);
  mark(input, told.errors);
  show("result", ...(told.title ? [problem(told)] : outputs(predictions(sample.dialect, answer.told, targets, asked.single))));
  if (answer.status) state.times.push(answer.milliseconds);
  const parts = phases(answer.headers);
  show("facts", ...(answer.status ? [timing(parts), facts(answer.headers, parts, state.times)] : []));
  if (!told.errors.size) $("result-title").scrollIntoView({ block: "nearest" });
}

function outputs(rows) {
  if (rows) return rows[0].map(output);
  $("received").open = true;
  return [muted("The answer stands below, as it came: this page cannot read this wire format, or more is predicted than the deployment names.")];
}

function pill(status) {
  $("status").hidden = false;
  $("status").className = `pill ${status === 200 ? "good" : "bad"}`;
  $("status").textContent = status || "no answer";
}

// The code, and the request as it would be sent.
function write() {
  if (!state.sample) return;
  const { input } = state.deployment;
  const { row, typical } = codeRow(input);
  $("code").textContent = CODE[state.language](request([row], state.key && KEY));
  show("code-note", typical ? "Empty fields stand as in a typical row. " : null, state.key ? `The key is read from the environment, as ${VARIABLE}.` : null);
  $("sent").querySelector("pre").textContent = asSent(timed(request([typedRow(input)], state.key && STAND_IN)));
}

function speakIn(language) {
  state.language = language;
  for (const tab of $("languages").children) {
    tab.setAttribute("aria-selected", String(tab.value === language));
    tab.tabIndex = tab.value === language ? 0 : -1;
  }
  $("code").setAttribute("aria-labelledby", `tab-${language}`);
  write();
}

function languages() {
  const names = Object.keys(CODE);
  const tab = (value) => make("button", { type: "button", role: "tab", id: `tab-${value}`, "aria-controls": "code", value }, value);
  show("languages", ...names.map(tab));
  $("languages").addEventListener("click", ({ target }) => target.value && speakIn(target.value));
  $("languages").addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    speakIn(names.at((names.indexOf(state.language) + step) % names.length));
    $(`tab-${state.language}`).focus();
  });
  speakIn(state.language);
}

async function openAPI() {
  const answer = await send({ method: "GET", url: `${BASE}deployments/${NAME}/openapi.json`, headers: credentials() });
  if (answer.status === 200) download(`${NAME}.openapi.json`, answer.text);
  else complain(answer);
}

async function copy() {
  // Without https there is no clipboard: then the code is selected, to be copied by hand.
  const copied = await navigator.clipboard?.writeText($("code").textContent).then(() => true, () => false);
  if (!copied) getSelection().selectAllChildren($("code"));
  $("copy").textContent = copied ? "Copied" : "Selected";
  setTimeout(() => show("copy", "Copy"), 1500);
}

// A file may be dropped anywhere: beside the frame, the browser would leave the page for it.
function drops() {
  for (const name of ["dragover", "dragleave", "drop"]) {
    addEventListener(name, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", name === "dragover");
      if (name === "drop" && $("drop").checkVisibility()) take(event.dataTransfer.files[0]);
    });
  }
}

function listen() {
  const on = (id, name, act) => $(id).addEventListener(name, act);
  on("gate", "submit", (event) => {
    event.preventDefault();
    state.key = $("key").value.trim();
    open();
  });
  on("change-key", "click", askForKey);
  on("inputs", "submit", predict);
  on("inputs", "input", write);
  on("typical", "click", () => (fillIn(state.deployment.input, example), write()));
  on("clear", "click", () => (fillIn(state.deployment.input, () => null), write()));
  on("dialect", "change", ({ target }) => choose(state.deployment.requests[target.value]));
  on("copy", "click", copy);
  on("openapi", "click", openAPI);
  on("file", "change", ({ target }) => take(target.files[0]).then(() => (target.value = "")));
  // A page that comes back from the browser's cache would still have its key.
  addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
}

$("name").textContent = NAME;
document.title = `${NAME} · modelgate`;
listen();
drops();
languages();
if (KEYED) askForKey();
else open();
