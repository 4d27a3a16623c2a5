// Example code that sends a request. A placeholder stands for the key, which the code reads from the environment.

export const KEY = "\ue000";
export const VARIABLE = "MODELGATE_KEY";

// Format JSON on as few lines as are easy to read. `scalar` formats values that are neither objects nor arrays.
function layout(value, scalar, indent = "", width = 76) {
  if (value === null || typeof value !== "object") return scalar(value);
  if (Array.isArray(value) && value.length === 1) return `[${layout(value[0], scalar, indent, width)}]`;
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const parts = (indent, width) => Object.entries(value).map(([name, item]) =>
    (open === "[" ? "" : `${scalar(name)}: `) + layout(item, scalar, indent, width));
  const line = open + parts("", Infinity).join(", ") + close;
  if (line.length <= width - indent.length || line.length === 2) return line;
  const inner = `${indent}  `;
  return `${open}\n${inner}${parts(inner, width).join(`,\n${inner}`)}\n${indent}${close}`;
}

export const asJSON = (value, indent) => layout(value, (item) => JSON.stringify(item), indent);

// Quote a word for a POSIX shell; the key becomes a variable.
function shellWord(text) {
  const quoted = (part) => `'${part.replaceAll("'", "'\\''")}'`;
  if (!text.includes(KEY)) return /^[\w@%+=:,./-]+$/.test(text) ? text : quoted(text);
  if (!/["$`\\!]|\ue000\w/.test(text)) return `"${text.replaceAll(KEY, `$${VARIABLE}`)}"`;
  return text.split(KEY).map((part) => part && quoted(part)).join(`"$${VARIABLE}"`);
}

// A string literal that is valid in Python and JavaScript: both accept JSON strings.
function literal(text) {
  const parts = text.split(KEY).flatMap((part) => ["key", part && JSON.stringify(part)]).slice(1);
  return parts.filter(Boolean).join(" + ") || '""';
}

const scalars = (words) => (value) => (typeof value === "string" ? literal(value) : words[value] ?? String(value));

const holdsKey = (request) => JSON.stringify(request).includes(KEY);

export const CODE = {
  curl({ url, headers, body }) {
    const fields = Object.entries(headers).map(([name, value]) => `-H ${shellWord(`${name}: ${value}`)}`);
    const sent = typeof body === "string" ? body : asJSON(body, "  ");
    return [`curl ${shellWord(url)}`, ...fields, `--data-raw ${shellWord(sent)}`].join(" \\\n  ");
  },

  Python(request) {
    const { url, headers, body } = request;
    const scalar = scalars({ true: "True", false: "False", null: "None" });
    const sent = typeof body === "string" ? `data=${literal(body)}.encode()` : `json=${layout(body, scalar, "    ")}`;
    return [
      ...(holdsKey(request) ? ["import os", ""] : []),
      "import requests",
      "",
      ...(holdsKey(request) ? [`key = os.environ["${VARIABLE}"]`] : []),
      "answer = requests.post(",
      `    ${literal(url)},`,
      `    headers=${layout(headers, scalar, "    ")},`,
      `    ${sent},`,
      "    timeout=30,",
      ")",
      "answer.raise_for_status()",
      "print(answer.json())",
    ].join("\n");
  },

  // modelgate's own client, which supports only the wire format native.
  "Python client": ({ client: { url, rows }, headers }) => {
    const scalar = scalars({ true: "True", false: "False", null: "None" });
    const hasKey = holdsKey(headers);
    const header = Object.keys(headers).find((name) => headers[name].includes(KEY))?.toLowerCase();
    const options = hasKey ? `, key=os.environ["${VARIABLE}"]${header === "authorization" ? "" : `, key_header=${literal(header)}`}` : "";
    return [
      "# pip install \"modelgate[client]\"",
      ...(hasKey ? ["import os", ""] : []),
      "from modelgate.client import Client",
      "",
      `with Client(${literal(url)}${options}) as client:`,
      `    result = client.predict(${layout(rows.length === 1 ? rows[0] : rows, scalar, "    ")})`,
      "",
      "print(result.values, result.probabilities)",
    ].join("\n");
  },

  JavaScript(request) {
    const { url, headers, body } = request;
    const sent = typeof body === "string" ? literal(body) : `JSON.stringify(${layout(body, scalars({}), "  ").replaceAll('"__proto__":', '["__proto__"]:')})`;
    return [
      ...(holdsKey(request) ? [`const key = process.env.${VARIABLE};`] : []),
      `const answer = await fetch(${literal(url)}, {`,
      '  method: "POST",',
      `  headers: ${layout(headers, scalars({}), "  ")},`,
      `  body: ${sent},`,
      "});",
      "if (!answer.ok) throw new Error(await answer.text());",
      "console.log(await answer.json());",
    ].join("\n");
  },

  R({ url, headers, body }) {
    const fields = Object.entries(headers).map(([name, value]) => `    ${rName(name)} = ${rText(value, JSON.stringify)}`);
    return [
      "library(httr2)",
      "",
      `request(${rText(url, JSON.stringify)}) |>`,
      `  req_headers(\n${fields.join(",\n")}\n  ) |>`,
      `  req_body_raw(${rText(typeof body === "string" ? body : asJSON(body, "  "), rRaw)}) |>`,
      "  req_perform() |>",
      "  resp_body_json() |>",
      "  str()",
    ].join("\n");
  },
};

const rName = (name) => (/^\w+$/.test(name) ? name : `\`${name}\``);

// A raw string of R, with as many dashes as the text needs.
function rRaw(text) {
  const dashes = ["", "-", "--", "---"].find((run) => !text.includes(`)${run}"`)) ?? "----";
  return `r"${dashes}(${text})${dashes}"`;
}

function rText(text, quote) {
  if (!text.includes(KEY)) return quote(text);
  const parts = text.split(KEY).flatMap((part) => [`Sys.getenv("${VARIABLE}")`, part && quote(part)]).slice(1);
  return `paste0(${parts.filter(Boolean).join(", ")})`;
}

// The languages for a request. The Python client is offered only for the wire format that it supports.
export const languagesOf = ({ client }) => Object.keys(CODE).filter((name) => client || name !== "Python client");
