// Time series: the history as JSON, a forecast point, and a plot of history, forecast and prediction interval.

import { asJSON } from "./code.mjs";
import { $, make, option, show } from "./dom.mjs";
import { MASKED_KEY, asReceived, asSent, nativeCall, parseJSON, send, state } from "./gate.mjs";
import { key, linePlot } from "./plots.mjs";
import { explain } from "./problems.mjs";
import { problem } from "./result.mjs";
import { formatValue, plural } from "./text.mjs";

const SHOWN_HISTORY = 60;
const MIDNIGHT = /T00:00(:00)?(\.0+)?Z?$/;

export function beginSeries({ example }) {
  for (const part of document.querySelectorAll("[data-single]")) part.hidden = true;
  $("series").hidden = false;
  $("history").value = example ? asJSON(example) : "";
  showPoints();
  $("history").setSelectionRange(0, 0);
  $("history").focus();
}

// Offer the dates of the history as forecast points.
export function showPoints() {
  const { date_column, target } = state.deployment.time_series;
  const rows = parseJSON($("history").value);
  const known = Array.isArray(rows) ? rows.filter((row) => row?.[target] !== null && row?.[target] !== undefined) : [];
  const dates = [...new Set(known.map((row) => row[date_column]))].sort().reverse();
  show("point", option("", "latest"), ...dates.map((date) => option(date)));
}

// Return the response, for the page to handle a rejected key.
export async function forecast() {
  const rows = parseJSON($("history").value);
  if (!Array.isArray(rows)) return show("plots", problem({ title: "The history is not an array of rows", advice: "Send JSON." }));
  const point = $("point").value;
  const query = new URLSearchParams({ relax_known_in_advance: "true", ...(point ? { forecast_point: point } : {}) });
  const path = `/predict?${query}`;
  $("sent").querySelector("pre").textContent = asSent(nativeCall(path, rows, state.key && MASKED_KEY));
  const answer = await send(nativeCall(path, rows));
  $("received").querySelector("pre").textContent = asReceived(answer);
  if (answer.status === 401) return answer;
  const width = Math.max(280, $("plots").clientWidth);
  show("plots", ...(answer.status === 200 ? plots(rows, answer.json.forecast, width) : [problem(explain(answer))]));
  return answer;
}

function plots(rows, predictions, width) {
  const { series_id, date_column, target } = state.deployment.time_series;
  const names = [...new Set(predictions.map((row) => String(row.series ?? "")))];
  return names.map((name) => {
    const isOwn = (value) => String(value ?? "") === name;
    const own = predictions.filter((row) => isOwn(row.series)).sort((a, b) => a.step - b.step);
    const history = rows
      .filter((row) => isOwn(series_id && row[series_id]) && typeof row[target] === "number")
      .sort((a, b) => (a[date_column] < b[date_column] ? -1 : 1))
      .slice(-SHOWN_HISTORY);
    return plot(name || target, history.map((row) => [row[date_column], row[target]]), own, width);
  });
}

// Draw one series. Dates are evenly spaced, as the rows of a series are.
function plot(name, history, predictions, width) {
  const dates = [...new Set([...history.map(([date]) => date), ...predictions.map((row) => row.date)])].sort();
  const level = Object.keys(predictions[0].intervals ?? {})[0];
  const limits = level ? predictions.map((row) => ({ date: row.date, ...row.intervals[level] })) : [];
  const place = (pairs) => pairs.map(([date, value]) => [dates.indexOf(date), value]);
  const labels = dates.every((date) => MIDNIGHT.test(date)) ? dates.map((date) => date.replace(MIDNIGHT, "")) : dates;
  const shown = Math.max(2, Math.floor(width / (60 + 7 * labels[0].length)));
  const every = Math.max(1, Math.ceil((dates.length - 1) / (shown - 1)));
  const forecastLine = predictions.map((row) => [row.date, row.prediction]);
  return make("figure", {},
    make("figcaption", {}, make("b", {}, name), make("span", { class: "legend" },
      key("past", "history"), key("c0", "forecast"), level ? key("spread", `interval of ${level} %`) : "")),
    linePlot({
      width,
      xs: [0, Math.max(dates.length - 1, 1)],
      xTicks: labels.map((text, index) => [index, text]).filter(([index]) => index % every === 0),
      label: `${name}: ${plural(predictions.length, "step")} from ${predictions[0].date}, first ${formatValue(predictions[0].prediction)}`,
      lines: [{ points: place(history), style: "past" }, { points: place(forecastLine), style: "c0" }],
      dots: predictions.length === 1 ? [{ at: place(forecastLine)[0], style: "c0" }] : [],
      bands: limits.length ? [{ upper: place(limits.map(({ date, high }) => [date, high])), lower: place(limits.map(({ date, low }) => [date, low])) }] : [],
    }));
}
