// How it is doing: requests, response times, versions, errors, predictions and drift, updated while the section is visible.

import { limits } from "./answers.mjs";
import { table } from "./developer.mjs";
import { $, make, muted, option, show } from "./dom.mjs";
import { fetchMetadata, state } from "./gate.mjs";
import { exhausted } from "./live.mjs";
import { key, linePlot, meter, stackedBars } from "./plots.mjs";
import { explain } from "./problems.mjs";
import { timing } from "./result.mjs";
import { armSentence, driftRows, driftSentence, duration, errorText, newestModels, windowToJudge, predictionShares, splitAtGaps, summarize, trafficSentence } from "./traffic.mjs";
import { count, percent, plural, present } from "./text.mjs";

const SECONDS_BETWEEN_UPDATES = 30;
// By report: its title, what is unknown without it, and the code that turns it on.
const PARTS = {
  traffic: ["Requests and response times", "Requests are not counted.", "Gate(metrics=True)"],
  outcomes: ["Error of the predictions", "Actual outcomes are not recorded, so the error of the predictions is not known.", "Gate(on_prediction=OutcomeLog())"],
  monitor: ["Drift", "Inputs and predictions are not compared with the training data.", "Gate(on_prediction=DriftMonitor())"],
};
const PHASES = { auth: "key and limits", checks: "reading the rows", cache: "getting the model", model: "the model", encode: "writing the response" };

let reports = null;
let isVisible = false;
let updatedAt = -Infinity;
let observer = null;
// Number of the last key: responses to requests with an earlier one are out of date.
let keyNumber = 0;

// Show the section once it is visible, and again if the key has changed.
export function watchDoing() {
  // The first update is a second later, when the section has its place and the first prediction is counted.
  [reports, updatedAt] = [null, performance.now() - (SECONDS_BETWEEN_UPDATES - 1) * 1000];
  keyNumber += 1;
  // Another key may not permit it.
  show("drift-part");
  offerVersions([]);
  if (observer) return;
  observer = new IntersectionObserver(([{ isIntersecting }]) => ((isVisible = isIntersecting), updateDoing()));
  observer.observe($("doing"));
  setInterval(updateDoing, 1000);
}

async function updateDoing() {
  if (!isVisible || document.hidden || performance.now() - updatedAt < SECONDS_BETWEEN_UPDATES * 1000) return;
  // No other update starts before this one has ended.
  updatedAt = Infinity;
  const own = keyNumber;
  const read = {};
  let pause = 0;
  for (const name of state.deployment.reports ?? []) {
    const answer = await fetchMetadata(`/${name}`);
    if (own !== keyNumber) return;
    const last = reports?.[name];
    // If an update fails, the last report remains.
    read[name] = answer.status === 200 || last?.status !== 200 ? { ...answer, at: Date.now() } : { ...last, failure: answer };
    pause += exhausted(limits(answer.headers))?.seconds ?? 0;
  }
  updatedAt = performance.now() + pause * 1000;
  reports = read;
  redrawDoing();
}

export function redrawDoing() {
  if (!reports) return null;
  const scope = make("code", {}, `${state.deployment.name}:monitor`);
  if (!state.deployment.reports) return show("requests-part", muted("Your key does not permit this view. It needs the scope ", scope, "."));
  const view = (name, draw) => (reports[name]?.status === 200 ? draw(reports[name].json) : [missingPart(name, reports[name])]);
  const outdated = Object.values(reports).find(({ failure }) => failure);
  const regions = () => [...$("doing-parts").querySelectorAll(".scroll")];
  const before = regions().map(({ ariaLabel, scrollLeft, scrollTop }) => ({ ariaLabel, scrollLeft, scrollTop }));
  const focused = document.activeElement.ariaLabel;
  show("requests-part",
    outdated ? make("p", { class: "unusual" }, `Not updated since ${moment(outdated.at, "short")}: ${explain(outdated.failure).title}.`) : null,
    ...view("traffic", trafficView), ...(state.deployment.time_series ? [] : view("outcomes", outcomesView)));
  show("drift-part", ...(state.deployment.time_series ? [muted("The errors and the drift of forecasts are not monitored.")] : view("monitor", monitorView)));
  // An update moves neither the tables nor the keyboard focus.
  for (const region of regions()) {
    Object.assign(region, before.find(({ ariaLabel }) => ariaLabel === region.ariaLabel));
    if (region.ariaLabel === focused) region.focus({ preventScroll: true });
  }
  return null;
}

const moment = (milliseconds, timeStyle, dateStyle) => new Date(milliseconds).toLocaleString("en", { dateStyle, timeStyle, hourCycle: "h23" });

// Why a part is not shown: it is not turned on, or the request has failed.
function missingPart(name, answer) {
  const [title, unknown, code] = PARTS[name];
  if (answer) return muted(`${title}: not available right now (${explain(answer).title}).`);
  return muted(`${unknown} The owner of the gate turns it on with `, make("code", {}, code), ".");
}

const heading = (text) => make("h3", {}, text);

const caption = (title, ...keys) => make("figcaption", {}, heading(title), make("span", { class: "legend" }, ...keys.map((each) => key(...each))));

function trafficView(report) {
  const summary = summarize(report);
  const { minutes, byVersion } = summary;
  const hasRequests = minutes.some((minute) => minute.some(Boolean));
  const lines = [["c0", report.median], ["c1", report.p95]].map(([style, values]) => splitAtGaps(values).map((points) => ({ points, style }))).flat();
  const size = { width: Math.max(260, Math.min(560, $("doing-parts").clientWidth)), height: 150, xTicks: [[0, "an hour ago"], [59, "now"]] };
  const measured = Object.entries(report.phases).map(([name, seconds]) => ({ name: PHASES[name], about: "", milliseconds: seconds * 1000 }));
  const words = trafficSentence(summary);
  return [
    make("p", { class: summary.failed ? "strong unusual" : "strong" }, words),
    hasRequests ? make("div", { class: "doing-plots" },
      make("figure", {}, caption("Requests a minute", ["c0", "answered"], ["c3", "rejected"], ["c1", "failed"]),
        stackedBars({ ...size, label: words, stacks: minutes, styles: ["c0", "c3", "c1"] })),
      lines.length ? make("figure", {}, caption("Response time", ["c0", "half within"], ["c1", "95 % within"]),
        linePlot({ ...size, label: "Response time in each minute of the last hour", xs: [0, 59], yText: duration,
          ys: [0, Math.max(...report.p95.filter(Boolean), 0.001)], lines,
          dots: lines.filter(({ points }) => points.length === 1).map(({ points, style }) => ({ at: points[0], style })) })) : null) : null,
    measured.length ? make("div", {}, heading("Where the time goes"), timing(measured), muted(`Mean of ${plural(report.measured, "measured request")}: one a second, and all of this page, whose explanations take time.`)) : null,
    byVersion.length ? versionTable(byVersion) : null,
    report.shared ? muted("These are the requests to all running processes on the machine that answered.")
      : muted("These are the requests to one process of the server. If it has several, ", make("code", {}, "Gate(metrics_dir=…)"), " adds them up."),
  ];
}

// A request that failed before a model was chosen has no version.
function versionTable(versions) {
  const rows = versions.map(({ version, answered, failed, share, median, p95 }) => [make("b", {}, version || "no version"),
    answered ? `${count(answered)} (${percent(share)})` : "0", count(failed), ...[median, p95].map((seconds) => (seconds === null ? "" : duration(seconds)))]);
  const title = "Versions in the last hour";
  return make("div", {}, heading(title), table(title, ["Version", "Answered", "Failed", "Half within", "95 % within"], rows));
}

function outcomesView({ versions, arms }) {
  const title = PARTS.outcomes[0];
  if (!versions.length) return [make("div", {}, heading(title), muted("No predictions have been stored yet."))];
  const rows = [...versions].sort((one, other) => other.predictions - one.predictions).map((version) => [make("b", {}, version.version), count(version.predictions), count(version.outcomes), errorText(version) || "too few outcomes"]);
  return [make("div", {}, heading(title), table(title, ["Version", "Predictions", "Known outcomes", "Error"], rows),
    ...arms.map((arm) => make("p", { class: "small" }, armSentence(arm))),
    muted("Of all stored predictions, not only those of the last hour."))];
}

function monitorView({ min_rows: least, models }) {
  const byVersion = newestModels(models);
  offerVersions([...byVersion.keys()]);
  const model = byVersion.get($("monitored").value);
  if (!model) return [make("div", {}, heading(PARTS.monitor[0]), muted("No predictions have been compared with the training data yet. New ones take some seconds; rows that this page only tries do not count."))];
  const window = windowToJudge(model, least);
  const rows = driftRows(window, least);
  const isDrifted = rows.some((row) => row.isDrifted);
  const [start, end] = [window.start, window.end].map((seconds) => moment(seconds * 1000, "short", "medium"));
  const period = window.end * 1000 < Date.now() ? `from ${start} to ${end}` : `since ${start}`;
  return present([
    model.predictions ? predictionView(model.predictions, model.windows.at(-1), model.version) : null,
    make("div", {}, heading(`Inputs of version ${model.version}, compared with the training data`),
      make("p", { class: isDrifted ? "strong unusual" : "strong" }, driftSentence(rows, window, least)),
      rows.length ? table("Drift by input", ["Input", "Finding", "Values", "Shift (limit)"],
        rows.map(({ name, finding, isDrifted, cells }) => [make("b", {}, name), make("span", { class: isDrifted ? "unusual" : "" }, finding), ...cells])) : null,
      muted(`${plural(window.rows, "row")} ${period}. The shift is the population stability index: chance explains values up to the limit.`)),
  ]);
}

// The versions to choose from. An update leaves the list alone unless it has changed, as it may be open.
function offerVersions(names) {
  const { options, value } = $("monitored");
  $("monitored").parentElement.hidden = names.length < 2;
  if (String([...options].map((known) => known.value)) === String(names)) return;
  show("monitored", ...names.map((name) => option(name)));
  $("monitored").value = [value, state.deployment.version].find((name) => names.includes(name)) ?? names.at(-1);
}

function predictionView(predictions, { rows }, version) {
  const { label, training, baseline } = predictions;
  const before = training ? "in training" : baseline ? "in the first complete window" : "";
  const item = ({ name, now, before: then }) => make("li", {},
    make("span", { class: "label", title: name }, name),
    make("span", { class: "pair" }, meter(now, "new"), then === null ? "" : meter(then)),
    make("span", { class: "share" }, present([percent(now), then !== null && `was ${percent(then)}`]).join(", ")));
  return make("div", {},
    caption(`${label === null ? "Predictions" : `Probability of ${label}`}, version ${version}`, ["c0", `now, ${plural(rows, "row")}`], ...(before ? [["rest", before]] : [])),
    make("ul", { class: "bars shares" }, ...predictionShares(predictions).map(item)));
}
