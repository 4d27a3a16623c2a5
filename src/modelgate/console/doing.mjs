// How it is doing: requests, latency, versions, predictions and drift, refreshed while the section is visible.

import { limits } from "./answers.mjs";
import { table } from "./developer.mjs";
import { $, make, muted, show } from "./dom.mjs";
import { fetchMetadata, state } from "./gate.mjs";
import { exhausted } from "./live.mjs";
import { key, linePlot, meter, stackedBars } from "./plots.mjs";
import { explain } from "./problems.mjs";
import { timing } from "./result.mjs";
import { armSentence, driftRows, duration, errorText, judgedWindow, predictionShares, runs, summarize, trafficSentence } from "./traffic.mjs";
import { count, percent, plural, present } from "./text.mjs";

const SECONDS_BETWEEN_UPDATES = 30;
const TURN_ON = {
  traffic: ["Requests are not counted.", "Gate(metrics=True)"],
  monitor: ["Inputs and predictions are not compared with the training data.", "Gate(on_prediction=DriftMonitor())"],
  outcomes: ["Actual outcomes are not recorded, so the error of the predictions is not known.", "Gate(on_prediction=OutcomeLog())"],
};
const PHASES = { auth: "key and limits", checks: "reading the rows", cache: "getting the model", model: "the model", encode: "writing the response" };

let reports = null;
let isVisible = false;
let updatedAt = -Infinity;
let observer = null;

// Show the section once it is visible, and again if the key has changed.
export function watchDoing() {
  [reports, updatedAt] = [null, -Infinity];
  if (observer) return;
  observer = new IntersectionObserver(([{ isIntersecting }]) => ((isVisible = isIntersecting), updateDoing()));
  observer.observe($("doing"));
  setInterval(updateDoing, 1000);
}

async function updateDoing() {
  if (!isVisible || document.hidden || performance.now() - updatedAt < SECONDS_BETWEEN_UPDATES * 1000) return;
  updatedAt = performance.now();
  const read = {};
  for (const name of state.deployment.reports ?? []) {
    read[name] = await fetchMetadata(`/${name}`);
    const window = exhausted(limits(read[name].headers));
    if (window) updatedAt += window.seconds * 1000;
  }
  reports = read;
  redrawDoing();
}

export function redrawDoing() {
  if (!reports) return null;
  const scope = make("code", {}, `${state.deployment.name}:monitor`);
  if (!state.deployment.reports) return show("doing-parts", muted("Your key does not permit this view. It needs the scope ", scope, "."));
  const view = (name, draw) => (reports[name]?.status === 200 ? draw(reports[name].json) : [lack(name, reports[name])]);
  const errors = reports.outcomes?.json?.versions ? reports.outcomes.json : null;
  return show("doing-parts", ...view("traffic", (json) => trafficView(json, errors)), ...(errors ? [] : view("outcomes")), ...view("monitor", monitorView));
}

// Why a part is not shown: it is not turned on, or the request has failed.
function lack(name, answer) {
  if (answer) return muted(`${explain(answer).title}: this part is not available right now.`);
  const [what, code] = TURN_ON[name];
  return muted(`${what} The owner of the gate turns it on with `, make("code", {}, code), ".");
}

const heading = (text) => make("h3", {}, text);

const caption = (title, ...keys) => make("figcaption", {}, heading(title), make("span", { class: "legend" }, ...keys.map((each) => key(...each))));

function trafficView(report, errors) {
  const summary = summarize(report);
  const { minutes, byVersion } = summary;
  const hasRequests = minutes.some((minute) => minute.some(Boolean));
  const lines = [["c0", report.median], ["c1", report.p95]].map(([style, values]) => runs(values).map((points) => ({ points, style }))).flat();
  const size = { width: Math.max(260, Math.min(560, $("doing-parts").clientWidth)), height: 150, xTicks: [[0, "an hour ago"], [59, "now"]] };
  const measured = Object.entries(report.phases).map(([name, seconds]) => ({ name: PHASES[name], about: "", milliseconds: seconds * 1000 }));
  const words = trafficSentence(summary);
  return [
    make("p", { class: "strong" }, words),
    hasRequests ? make("div", { class: "doing-plots" },
      make("figure", {}, caption("Requests a minute", ["c0", "answered"], ["c3", "rejected"], ["c1", "failed"]),
        stackedBars({ ...size, label: words, stacks: minutes, styles: ["c0", "c3", "c1"] })),
      make("figure", {}, caption("Response time", ["c0", "half within"], ["c1", "95 % within"]),
        linePlot({ ...size, label: "Response time in each minute of the last hour", xs: [0, 59], yText: duration,
          ys: [0, Math.max(...report.p95.filter(Boolean), 0.001)], lines,
          dots: lines.filter(({ points }) => points.length === 1).map(({ points, style }) => ({ at: points[0], style })) }))) : null,
    measured.length ? make("div", {}, heading("Where the time goes"), timing(measured), muted(`Mean of ${plural(report.measured, "request")} whose phases were measured: one a second.`)) : null,
    byVersion.length ? versionTable(byVersion, errors) : null,
    muted(report.shared ? "Counted by all running processes of the machine that answered." : "Counted by the process that answered; others of this server count their own, unless the gate has a metrics_dir."),
  ];
}

function versionTable(versions, errors) {
  const rows = versions.map(({ version, answered, failed, share, median, p95 }) => {
    const own = errors?.versions.find((each) => each.version === version);
    return [make("b", {}, version || "none"), `${count(answered)} (${percent(share)})`, count(failed), median === null ? "" : `${duration(median)}, ${duration(p95)}`,
      ...(errors ? [own ? count(own.outcomes) : "0", own ? errorText(own) || "too few outcomes" : ""] : [])];
  });
  const names = ["Version", "Answered", "Failed", "Half and 95 % within", ...(errors ? ["Known outcomes", "Error"] : [])];
  return make("div", {}, heading(versions.length > 1 ? "Versions side by side" : "Version"), table("Versions", names, rows),
    ...(errors?.arms ?? []).map((arm) => make("p", { class: "small" }, armSentence(arm))));
}

function monitorView({ min_rows: least, models }) {
  const model = models.find(({ version }) => version === state.deployment.version) ?? models.at(-1);
  if (!model?.windows.length) return [muted("No predictions have been compared with the training data yet. It takes some seconds after the first one.")];
  const window = judgedWindow(model, least);
  const rows = driftRows(window, least);
  const drifted = rows.filter(({ isDrifted }) => isDrifted);
  const words = window.rows < least ? `${count(window.rows)} rows so far: ${count(least)} are needed to compare them with the training data.`
    : drifted.length ? `${count(drifted.length)} of ${plural(rows.length, "input")} ${drifted.length > 1 ? "differ" : "differs"} from the training data: ${drifted.map(({ name }) => name).join(", ")}.`
    : `All ${plural(rows.length, "input")} are as in the training data.`;
  const since = new Date(window.start * 1000).toLocaleString("en", { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
  return present([
    model.predictions ? predictionView(model.predictions, model.windows.at(-1)) : null,
    make("div", {}, heading("Inputs, compared with the training data"),
      make("p", { class: drifted.length ? "strong unusual" : "strong" }, words),
      rows.length ? table("Drift by input", ["Input", "Finding", "Values", "Shift (limit)"],
        rows.map(({ name, finding, isDrifted, cells }) => [make("b", {}, name), make("span", { class: isDrifted ? "unusual" : "" }, finding), ...cells])) : null,
      muted(`Version ${model.version}, ${plural(window.rows, "row")} since ${since}. The shift is the population stability index; its limit allows for chance.`)),
  ]);
}

function predictionView(predictions, { rows }) {
  const { label, training, baseline } = predictions;
  const before = training ? "in training" : baseline ? "in the first complete window" : "";
  const item = ({ name, now, before: then }) => make("li", {},
    make("span", { class: "label", title: name }, name),
    make("span", { class: "pair" }, meter(now, "new"), then === null ? "" : meter(then)),
    make("span", { class: "share" }, present([percent(now), then !== null && `was ${percent(then)}`]).join(", ")));
  return make("div", {},
    caption(label === null ? "Predictions" : `Probability of ${label}`, ["c0", `now, ${plural(rows, "row")}`], ...(before ? [["rest", before]] : [])),
    make("ul", { class: "bars shares" }, ...predictionShares(predictions).map(item)));
}
