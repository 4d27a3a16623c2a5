// The connection to the gate: the key, the deployment, and requests.

import { asJSON } from "./code.mjs";
import { bodyText, buildRequest } from "./requests.mjs";
import { TIMEOUT } from "./problems.mjs";
import { NO_TRAINING } from "./training.mjs";
import { present } from "./text.mjs";

export const MASKED_KEY = "••••••••";

// Relative to the page's own path, so that it works below any mount point.
export const [, BASE, NAME] = /^(.*\/)deployments\/([^/]+)\/console\/*$/.exec(location.pathname) || [null, "./", ""];
export const KEYED = document.documentElement.dataset.keyed === "yes";
const KEY_HEADER = document.documentElement.dataset.keyHeader;
const DEPLOYMENT = `${BASE}deployments/${NAME}`;

// `sample` is the request template of the chosen wire format.
export const state = { key: "", deployment: null, training: NO_TRAINING, sample: null };

// Send a request and return the response, with status 0 if there is none.
export async function send(call, signal) {
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

export function parseJSON(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function credentials(key) {
  if (!key) return {};
  return KEY_HEADER === "authorization" ? { Authorization: `Bearer ${key}` } : { [KEY_HEADER]: key };
}

// Request metadata of the deployment. `path` begins with a slash, or is empty for the description.
export const fetchMetadata = (path = "") => send({ method: "GET", url: DEPLOYMENT + path, headers: credentials(state.key) });

// A request with JSON to a path of the deployment, in the wire format native.
export function nativeCall(path, body, key = state.key) {
  return { method: "POST", url: DEPLOYMENT + path, headers: { ...credentials(key), "Content-Type": "application/json" }, body };
}

export const nativeSample = () => state.deployment.requests.find(({ dialect }) => dialect === "native");

export function request(rows, key, sample = state.sample) {
  return buildRequest(sample, state.deployment, rows, key, new URL(BASE, location.href).href);
}

const lines = (pairs) => [...pairs].map(([name, value]) => `${name}: ${value}\n`).join("");

export function asSent({ method, url, headers, body }) {
  return `${method} ${url}\n${lines(Object.entries(headers))}\n${typeof body === "string" ? body : asJSON(body)}`;
}

export function asReceived({ status, headers, text, json }) {
  return status ? `HTTP ${status}\n${lines(headers)}\n${json === null ? text : asJSON(json)}` : "No response.";
}
