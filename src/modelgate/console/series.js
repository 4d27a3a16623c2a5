// Time series: the history as JSON, a forecast point, and a plot of history, forecast and prediction interval.

const PLOT = { width: 720, height: 220, margin: 8 };
const SHOWN_HISTORY = 60;

function draw(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach((attribute) => element.setAttribute(...attribute));
  element.append(...children);
  return element;
}

function beginSeries({ example }) {
  for (const part of document.querySelectorAll("[data-single]")) part.hidden = true;
  $("series").hidden = false;
  $("history").value = example ? asJSON(example) : "";
  showPoints();
  $("history").focus();
}

// Offer the dates of the history as forecast points.
function showPoints() {
  const { date_column, target } = state.deployment.time_series;
  const rows = parseJSON($("history").value);
  const known = Array.isArray(rows) ? rows.filter((row) => row?.[target] !== null && row?.[target] !== undefined) : [];
  const dates = [...new Set(known.map((row) => row[date_column]))].sort().reverse();
  show("point", make("option", { value: "" }, "latest"), ...dates.map((date) => make("option", { value: date }, date)));
}

async function forecast(event) {
  event?.preventDefault();
  const rows = parseJSON($("history").value);
  if (!Array.isArray(rows)) return show("plots", problem({ title: "The history is not an array of rows", advice: "Send JSON." }));
  const point = $("point").value;
  const query = new URLSearchParams({ relax_known_in_advance: "true", ...(point ? { forecast_point: point } : {}) });
  const headers = { ...credentials(), "Content-Type": "application/json" };
  const url = `${BASE}deployments/${NAME}/predict?${query}`;
  const call = { method: "POST", url, headers, body: rows };
  const masked = state.key ? { Authorization: `Bearer ${MASKED_KEY}` } : {};
  $("sent").querySelector("pre").textContent = asSent({ ...call, headers: { ...headers, ...masked } });
  const answer = await send(call);
  $("received").querySelector("pre").textContent = asReceived(answer);
  if (answer.status === 401) return showFault(answer), askForKey();
  show("plots", ...(answer.status === 200 ? plots(rows, answer.json.forecast) : [problem(explain(answer))]));
}

function plots(rows, predictions) {
  const { series_id, date_column, target } = state.deployment.time_series;
  const names = [...new Set(predictions.map((row) => String(row.series ?? "")))];
  return names.map((name) => {
    const isOwn = (value) => String(value ?? "") === name;
    const own = predictions.filter((row) => isOwn(row.series)).sort((a, b) => a.step - b.step);
    const history = rows
      .filter((row) => isOwn(series_id && row[series_id]) && typeof row[target] === "number")
      .sort((a, b) => (a[date_column] < b[date_column] ? -1 : 1))
      .slice(-SHOWN_HISTORY);
    return plot(name || target, history.map((row) => [row[date_column], row[target]]), own);
  });
}

// Draw one series. Dates are evenly spaced, as the rows of a series are.
function plot(name, history, predictions) {
  const dates = [...new Set([...history.map(([date]) => date), ...predictions.map((row) => row.date)])].sort();
  const level = Object.keys(predictions[0].intervals ?? {})[0];
  const limits = level ? predictions.map((row) => ({ date: row.date, ...row.intervals[level] })) : [];
  const all = [...history.map(([, value]) => value), ...predictions.map((row) => row.prediction), ...limits.flatMap(({ low, high }) => [low, high])];
  const lowest = Math.min(...all);
  const range = Math.max(...all) - lowest || 1;
  const { width, height, margin } = PLOT;
  const x = (date) => margin + (dates.indexOf(date) / Math.max(dates.length - 1, 1)) * (width - 2 * margin);
  const y = (value) => height - margin - ((value - lowest) / range) * (height - 2 * margin);
  const line = (points) => points.map(([date, value]) => `${x(date).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const band = [...limits.map(({ date, high }) => [date, high]), ...[...limits].reverse().map(({ date, low }) => [date, low])];
  const forecastLine = predictions.map((row) => [row.date, row.prediction]);
  const summary = `${name}: ${plural(predictions.length, "step")} from ${predictions[0].date}, first ${formatValue(predictions[0].prediction)}`;
  return make("figure", {},
    make("figcaption", {}, make("b", {}, name), ` from ${dates[0]} to ${dates.at(-1)}, ${formatValue(lowest)} to ${formatValue(lowest + range)}${level ? `, with the interval of ${level} %` : ""}`),
    draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": summary },
      draw("polygon", { class: "band", points: line(band) }),
      draw("polyline", { class: "history", points: line(history) }),
      draw("polyline", { class: "forecast", points: line(forecastLine) })));
}
