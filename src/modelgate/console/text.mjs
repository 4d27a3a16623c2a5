// Wording of values. Numbers are rounded for people; what is sent is never rounded.

export const present = (children) => children.filter((child) => child !== null && child !== undefined && child !== false && child !== "");
export const count = (number) => number.toLocaleString("en");
export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : word.endsWith("s") ? "es" : "s"}`;
export const eitherOf = (words) => (words.length > 1 ? `${words.slice(0, -1).join(", ")} or ${words.at(-1)}` : String(words));

// A number with four digits, or all of those before the point.
export function rounded(value) {
  if (typeof value !== "number" || Number.isInteger(value)) return formatValue(value);
  return Math.abs(value) >= 1000 && Math.abs(value) < 1e15 ? String(Math.round(value)) : formatValue(value, 4);
}

export const percent = (share) => `${(share * 100).toFixed(1)} %`;

export function formatValue(value, digits = 6) {
  if (Array.isArray(value)) return JSON.stringify(value);
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(digits))) : String(value);
}

// A change: "+0.12" or "−3". U+2212 is as wide as the plus.
export function signed(number, text = (value) => formatValue(value, 3)) {
  return `${number < 0 ? "−" : "+"}${text(Math.abs(number))}`;
}

export function span(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [size, unit] = units.find(([size]) => seconds >= 2 * size) || [1, "s"];
  return `${Math.round(seconds / size)}\u00a0${unit}`;
}
