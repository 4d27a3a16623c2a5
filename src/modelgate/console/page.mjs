// The page: the key, the deployment, and the row that is explored.

import { limits, predictions, retryAfter } from "./answers.mjs";
import { download, loadFile } from "./batch.mjs";
import { clientsOf, missingShares, nativeFirst } from "./clients.mjs";
import { asJSON } from "./code.mjs";
import { copy, flash, showCode, showContract, showLanguages } from "./developer.mjs";
import { redrawDoing, watchDoing } from "./doing.mjs";
import { $, button, make, muted, option, show } from "./dom.mjs";
import { strongest } from "./explanation.mjs";
import { addSliders, enteredRow, field, fillIn, isIncomplete, showErrors, showPlace, typicalRow } from "./form.mjs";
import { KEYED, MASKED_KEY, NAME, asReceived, asSent, fetchMetadata, request, send, state } from "./gate.mjs";
import { rowFragment, rowInFragment } from "./link.mjs";
import { Live, exhausted } from "./live.mjs";
import { explain } from "./problems.mjs";
import { explanations, facts, output, problem } from "./result.mjs";
import { beginSeries, forecast, showPoints } from "./series.mjs";
import { Session } from "./session.mjs";
import { NO_TRAINING, placeInResponse } from "./training.mjs";
import { findSmallestChange, forgetChanges, offerWhatIf, redraw, suggestClass, suggestColumn, updatePlot } from "./whatif.mjs";
import { eitherOf, formatValue, percent, plural, span } from "./text.mjs";

const SHOWN_CONTRIBUTIONS = 10;
const SHOWN_ENTRIES = 8;
const INTERVAL_LEVEL = 90;
const MAX_NAMED_CLASSES = 5;
// The form waits this long for the training data, so that its sliders do not appear later.
const TRAINING_MILLISECONDS = 400;

const times = [];
const session = new Session();
let isTouched = false;
let hasIntervals = true;
// Time until which updates wait, because a rate limit is nearly used up.
let limitedUntil = 0;
// Number of the last request: a response to an earlier one is out of date.
let turn = 0;

const live = new Live(update, (seconds) => showLive(`The gate is busy: continuing in ${span(seconds)}`));

async function open() {
  const answer = await fetchMetadata();
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
  turn += 1;
  live.cancel();
  $("gate").hidden = false;
  $("console").hidden = $("tools").hidden = true;
  $("key").select();
}

// A target in words: "cultivar (cultivar-1, cultivar-2 or cultivar-3)". A target without a name is called "prediction".
function describeTarget({ name, classes }) {
  const isNamed = name !== "prediction";
  if (!classes) return isNamed ? name : "a value";
  const either = classes.length > MAX_NAMED_CLASSES ? `one of ${plural(classes.length, "class")}` : eitherOf(classes);
  return isNamed ? `${name} (${either})` : either;
}

async function begin(deployment) {
  const { name, version, input, output, function: isFunction } = deployment;
  const schema = asJSON({ name, version, input, output });
  const isSame = schema === $("schema").querySelector("pre").textContent;
  state.deployment = deployment;
  $("key").value = "";
  $("about").textContent = `Predicts ${output.map(describeTarget).join(", and ")}, from ${plural(input.length, "input")} · version ${version}`;
  $("schema").querySelector("pre").textContent = schema;
  const training = deployment.time_series || isSame ? null : fetchMetadata("/training");
  await Promise.race([training, new Promise((resolve) => setTimeout(resolve, TRAINING_MILLISECONDS))]);
  // The form is not cleared when only the key changes.
  if (!isSame) {
    show("fields", ...input.map(field));
    Object.assign(state, { training: NO_TRAINING });
    $("live").checked = !isFunction;
    $("live-note").textContent = isFunction ? "Off, because this deployment is a function of the app, which may have side effects." : "";
    fillIn(input, rowInFragment(location.hash, input) ?? typicalRow(input, {}), state.training);
  }
  $("gate").hidden = $("fault").hidden = true;
  $("console").hidden = $("tools").hidden = false;
  $("change-key").hidden = !state.key;
  const samples = nativeFirst(deployment.requests);
  show("dialect", ...samples.map(({ dialect }) => option(dialect, clientsOf(dialect).label)));
  choose(samples[0]);
  showContract(deployment);
  if (deployment.time_series) {
    beginSeries(deployment);
    await forecastNow();
    return watchDoing();
  }
  $("field-0")?.focus();
  if (!isSame) {
    offerWhatIf(deployment);
    showExamples();
    await addTraining(await training);
  }
  changed(0);
  watchDoing();
}

// Add the training statistics to the form. Replace the row only if it has not been edited yet.
async function addTraining({ status, json }) {
  if (status !== 200 || !json?.columns) return;
  const { deployment: { input } } = state;
  state.training = json;
  addSliders(input, json.columns);
  offerWhatIf(state.deployment);
  showExamples();
  if (isTouched || rowInFragment(location.hash, input)) input.forEach((column, index) => showPlace(column, index, json));
  else fillIn(input, json.examples[0] ?? typicalRow(input, json.columns), json);
}

function showExamples() {
  const { deployment: { input }, training } = state;
  const examples = training.examples.map((row, index) => button(`Example ${index + 1}`, () => useRow(row)));
  show("examples", ...examples, button("Typical row", () => useRow(typicalRow(input, training.columns))));
}

function useRow(row) {
  isTouched = true;
  fillIn(state.deployment.input, row, state.training);
  changed(0);
}

function choose(sample) {
  state.sample = sample;
  showCode();
}

// The request as it is sent: the wire format native can add explanations, intervals and the place in the training data.
// Rows that are only tried do not count in drift and accuracy. The row of an `isExplicit` request counts.
function explainedRequest(row, key, isExplicit) {
  const { deployment: { max_explanations: most, input, output }, training, sample } = state;
  const call = request([row], key);
  // Prefer (RFC 7240) requests a Server-Timing header.
  call.headers = { ...call.headers, Prefer: "server-timing" };
  if (sample.dialect !== "native") return call;
  const options = new URLSearchParams({
    ...(most ? { explain: Math.min(most, input.length, SHOWN_CONTRIBUTIONS) } : {}),
    ...(hasIntervals && output.some(({ intervals }) => intervals) ? { intervals: INTERVAL_LEVEL } : {}),
    ...(training.rows ? { context: true } : {}),
    ...(isExplicit ? {} : { hypothetical: true }),
  });
  return options.size ? { ...call, url: `${call.url}?${options}` } : call;
}

// The row in the form has changed.
function changed(delay) {
  $("result").classList.add("stale");
  $("peek").classList.add("stale");
  forgetChanges();
  live.request(delay);
}

function showRequest(row, isExplicit) {
  showCode();
  $("sent").querySelector("pre").textContent = asSent(explainedRequest(row, state.key && MASKED_KEY, isExplicit));
}

const showLive = (text) => { $("live-state").textContent = text; };

// Update the prediction and the plot for the row in the form. Return the seconds to wait, if the gate asks for a pause.
async function update() {
  const row = enteredRow(state.deployment.input);
  session.visit(row, Date.now());
  $("undo").disabled = session.past.length < 2;
  showRequest(row, false);
  if (!$("live").checked || isIncomplete(state.deployment.input, row)) return null;
  const wait = Math.ceil((limitedUntil - Date.now()) / 1000);
  showLive(wait > 0 ? `Updates wait for ${span(wait)}, to leave requests of the limit for you: press Predict` : "");
  if (wait > 0) return null;
  const answer = (await predict(row, false)) ?? (await updatePlot());
  if (answer?.status === 401) rejectKey(answer);
  return answer && [429, 503].includes(answer.status) ? Math.max(1, retryAfter(answer.headers) ?? 1) : null;
}

// Send the row and show the response. Return the response if it is an error. `isExplicit` moves to the errors or the result.
async function predict(row, isExplicit) {
  const { sample, deployment: { input, output: targets } } = state;
  const call = explainedRequest(row, state.key, isExplicit);
  const own = (turn += 1);
  let answer = await send(call);
  if (answer.status === 400 && call.url.includes("intervals=") && /interval/i.test(answer.text)) {
    hasIntervals = false;
    answer = await send(explainedRequest(row, state.key, isExplicit));
  }
  if (own !== turn) return null;
  $("received").querySelector("pre").textContent = asReceived(answer);
  if (answer.status === 401) return answer;
  reserveRequests(answer.headers);
  const failure = answer.status === 200 ? { errors: new Map() } : explain(answer, input);
  pill(answer.status);
  showErrors(input, failure.errors, isExplicit);
  // During live updates, keep the last prediction, and show the errors at the fields.
  if (isExplicit || !failure.errors.size) {
    const rows = failure.title ? null : predictions(sample.dialect, answer.json, targets, call.single);
    show("result", ...(failure.title ? [problem(failure)] : outputs(rows, answer.json)));
    $("result").classList.remove("stale");
    $("peek").classList.remove("stale");
    $("peek").textContent = "";
    showWhy(failure.title ? null : answer.json);
    if (rows) showPrediction(row, rows[0], answer.json);
  }
  if (answer.status) times.push(answer.milliseconds);
  show("facts", ...(answer.status ? facts(answer.headers, times) : []));
  if (isExplicit && !failure.errors.size) $("result-title").scrollIntoView({ block: "nearest" });
  return answer.status === 200 ? null : answer;
}

async function predictNow(event) {
  event.preventDefault();
  live.cancel();
  const row = enteredRow(state.deployment.input);
  session.visit(row, Date.now());
  showRequest(row, true);
  $("predict").ariaBusy = "true";
  const answer = await predict(row, true);
  $("predict").ariaBusy = "false";
  if (answer?.status === 401) return rejectKey(answer);
  return answer ? null : updatePlot();
}

function rejectKey(answer) {
  showFault(answer);
  askForKey();
}

// The updates of this page leave a tenth of each limit for other requests with the same key.
function reserveRequests(headers) {
  const window = exhausted(limits(headers));
  limitedUntil = window ? Date.now() + window.seconds * 1000 : 0;
}

function outputs(rows, json) {
  if (rows) return rows[0].map((target) => output(target, state.training.targets[target.name], json, rows[0].length === 1, missingShares(state.sample.dialect, state.deployment.output)));
  $("received").open = true;
  return [muted("The response is shown below as received: this page cannot read this wire format, or the outputs are not those that the deployment names.")];
}

function showWhy(json) {
  const { deployment: { input, output, max_explanations: most, function: isFunction }, sample } = state;
  const shown = json && sample.dialect === "native" ? explanations(json, output, input.length) : [];
  const only = sample.dialect === "native" ? [] : [muted("Explanations are in the wire format of modelgate: choose it under “Call it from your code”.")];
  show("why", ...(shown.length ? shown.map(({ view }) => view) : only));
  $("why-card").hidden = !most || !$("why").childElementCount;
  // A plot calls the model many times, which a function's owner may not expect.
  if (!isFunction) suggestColumn(strongest(shown[0]?.explanation));
}

// Show what a response says beyond the prediction itself: unusual values, and the entry in the history.
function showPrediction(row, predicted, json) {
  const { deployment: { input }, training } = state;
  suggestClass(predicted[0].value);
  if (json.context) {
    input.forEach((column, index) => showPlace(column, index, training, placeInResponse(json.context[column.name])));
  }
  const text = predicted.map(({ value, shares }) => {
    const share = shares?.find(([label]) => String(label) === String(value))?.[1];
    return share === undefined ? formatValue(value, 4) : `${value}, ${percent(share)}`;
  }).join(" · ");
  $("peek").textContent = text;
  session.record(row, text, Date.now());
  showHistory();
}

function showHistory() {
  const entries = session.entries.slice(-SHOWN_ENTRIES).reverse();
  const value = (row, name) => (row[name] === undefined || row[name] === null ? "empty" : formatValue(row[name], 4).slice(0, 24));
  const changes = ({ row, changes }) => (changes.length === 1 ? `${changes[0]} ${value(row, changes[0])}` : changes.length ? `${changes.length} inputs` : "start");
  $("history-list").hidden = session.entries.length < 2;
  const focused = [...$("entries").children].findIndex((item) => item.contains(document.activeElement));
  show("entries", ...entries.map((entry) => make("li", {},
    make("button", { type: "button", class: "entry", on: { click: () => useRow(entry.row) } },
      make("span", {}, changes(entry)), make("b", {}, entry.text)))));
  // The focus stays at its place in the list, whose buttons are new.
  $("entries").children[focused]?.firstChild.focus();
  $("undo").disabled = session.past.length < 2;
}

function undo() {
  const row = session.undo();
  if (row) useRow(row);
}

function shareRow() {
  const fragment = rowFragment(enteredRow(state.deployment.input));
  if (!fragment) return flash("share", "Too large for a link");
  history.replaceState(null, "", fragment);
  return copy("share", location.href, null);
}

function pill(status) {
  $("status").hidden = status === 200;
  $("status").className = "pill bad";
  $("status").textContent = status || "no response";
}

async function forecastNow(event) {
  event?.preventDefault();
  const answer = await forecast();
  if (answer?.status === 401) rejectKey(answer);
}

async function openAPI() {
  const answer = await fetchMetadata("/openapi.json");
  if (answer.status === 200) download(`${NAME}.openapi.json`, answer.text);
  else showFault(answer);
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

function typed({ target }) {
  isTouched = true;
  const index = Number(/^field-(\d+)$/.exec(target.id)?.[1] ?? NaN);
  if (Number.isNaN(index)) return;
  showPlace(state.deployment.input[index], index, state.training);
  changed();
}

function listen() {
  const on = (id, name, listener) => $(id).addEventListener(name, listener);
  on("gate", "submit", (event) => {
    event.preventDefault();
    state.key = $("key").value.trim();
    open();
  });
  on("change-key", "click", askForKey);
  on("inputs", "submit", predictNow);
  on("inputs", "input", typed);
  on("clear", "click", () => useRow({}));
  on("undo", "click", undo);
  on("share", "click", shareRow);
  on("live", "change", () => changed(0));
  on("dialect", "change", ({ target }) => (choose(state.deployment.requests.find(({ dialect }) => dialect === target.value)), showWhy(null), changed(0)));
  on("vary", "change", updatePlot);
  on("vary-also", "change", updatePlot);
  on("class", "change", ({ target }) => ((target.dataset.chosen = "yes"), redraw()));
  on("smallest", "click", findSmallestChange);
  on("monitored", "change", redrawDoing);
  on("forecast", "submit", forecastNow);
  on("history", "input", showPoints);
  on("point", "change", () => forecastNow());
  on("copy", "click", () => copy("copy", $("code").textContent, $("code")));
  on("openapi", "click", openAPI);
  on("file", "change", ({ target }) => loadFile(target.files[0]).then(() => (target.value = "")));
  // A link with a row that is opened in this page does not load it again.
  addEventListener("hashchange", () => {
    const row = state.deployment && rowInFragment(location.hash, state.deployment.input);
    if (row) useRow(row);
  });
  // A page restored from the browser's back/forward cache would still have its key.
  addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) requestAnimationFrame(() => (redraw(), redrawDoing()));
    width = innerWidth;
  });
}

$("name").textContent = NAME;
document.title = `${NAME} · modelgate`;
listen();
acceptDrops();
showLanguages();
if (KEYED) askForKey();
else open();
