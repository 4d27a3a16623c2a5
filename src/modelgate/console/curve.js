// Draw a response curve: the predictions for the row in the form, for a grid of values of one column.

const CURVE_POINTS = 40;
const [PLOT_WIDTH, PLOT_HEIGHT] = [480, 140];

function offerCurves({ input, requests, time_series }) {
  const columns = input.filter(({ type }) => !["image", "tensor"].includes(type));
  $("curve").hidden = time_series || !columns.length || !requests.some(({ dialect }) => dialect === "native");
  show("curve-column", make("option", { value: "" }, "Choose an input"),
    ...columns.map(({ name }) => make("option", { value: name }, name)));
  show("curve-plot");
}

async function drawCurve() {
  const { input, output } = state.deployment;
  const column = $("curve-column").value;
  if (!column) return show("curve-plot");
  const row = enteredRow(input);
  const headers = { ...credentials(), "Content-Type": "application/json" };
  const body = { column, row, points: CURVE_POINTS };
  const answer = await send({ method: "POST", url: `${BASE}deployments/${NAME}/curves`, headers, body });
  if (column !== $("curve-column").value) return;
  if (answer.status !== 200) return show("curve-plot", problem(explain(answer, input)));
  const { grid, curve } = answer.json;
  show("curve-plot", ...output.map(({ name }) => curvePlots((curve.outputs || { [name]: curve })[name] || {}, name, column, grid)));
}

// A number has one plot. A classifier has one for the probability of each class, the second of two only.
function curvePlots({ prediction = [], probabilities }, name, column, grid) {
  const classes = Object.entries(probabilities || {}).slice(Object.keys(probabilities || {}).length === 2 ? 1 : 0);
  const isNumber = prediction.every((value) => typeof value === "number");
  if (!classes.length && !isNumber) return listed(name, grid, prediction.map(String));
  return make("div", {}, ...(classes.length ? classes.slice(0, MAX_BARS) : [[null, prediction]]).map(([label, values]) => {
    const title = label === null ? name : `Probability of ${label}`;
    const text = label === null ? formatValue : percent;
    const isLine = grid.length > 1 && [...grid, ...values].every((value) => typeof value === "number");
    return isLine ? line(title, column, grid, values, text) : listed(title, grid, values.map(text));
  }));
}

function listed(title, grid, texts) {
  const item = (text, index) => make("div", {}, make("dt", {}, formatValue(grid[index])), make("dd", {}, text));
  return make("div", {}, make("p", { class: "strong small" }, title), make("dl", {}, ...texts.map(item)));
}

function line(title, column, grid, values, text) {
  const scale = (all, size) => {
    const [low, high] = [Math.min(...all), Math.max(...all)];
    return (value) => (high > low ? (value - low) / (high - low) : 0.5) * size;
  };
  const [x, y] = [scale(grid, PLOT_WIDTH), scale(values, PLOT_HEIGHT)];
  const points = grid.map((value, index) => `${x(value).toFixed(1)},${(PLOT_HEIGHT - y(values[index])).toFixed(1)}`);
  const svg = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(attributes).forEach((pair) => element.setAttribute(...pair));
    return element;
  };
  const range = `${text(Math.min(...values))} to ${text(Math.max(...values))}`;
  const label = `${title}: ${range}, for ${column} from ${formatValue(grid[0])} to ${formatValue(grid.at(-1))}`;
  const plot = svg("svg", { viewBox: `-4 -4 ${PLOT_WIDTH + 8} ${PLOT_HEIGHT + 8}`, role: "img", "aria-label": label });
  plot.append(svg("polyline", { points: points.join(" ") }));
  return make("figure", { class: "curve" },
    make("figcaption", {}, make("span", { class: "strong small" }, title), make("span", { class: "muted small" }, range)), plot,
    make("p", { class: "muted small" }, make("span", {}, formatValue(grid[0])), make("span", {}, column), make("span", {}, formatValue(grid.at(-1)))));
}
