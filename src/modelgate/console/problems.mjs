// Explain a failed request: what went wrong, what to do, and the errors by column.

import { readErrors, retryAfter } from "./answers.mjs";
import { span } from "./text.mjs";

export const TIMEOUT = 60_000;

const PROBLEMS = {
  401: ["The key was not accepted", "Enter the complete key again, or ask its issuer for a new one."],
  403: ["This is not allowed", "Ask the issuer of the key, or the operator of the gate."],
  404: ["There is no such deployment", "Is its name in the address right?"],
  413: ["Too much in one request", "Send fewer rows at a time."],
  429: ["Too many requests", ""],
  503: ["Not available right now", ""],
};

const INVALID = "The input was rejected";
const FAILED = "The server failed";

// For a reader of the documentation: status, meaning, and what to do.
export const ERRORS = [
  ["400", INVALID, "Fix the columns that the response names, each with its rule."],
  ...Object.entries(PROBLEMS).map(([status, [title, advice]]) => [status, title, advice || "Try again after the seconds in Retry-After."]),
  ["500", FAILED, "Give its operator the request id, which is in the log."],
].sort();

export function explain({ status, headers, text, json, late }, columns = []) {
  if (status === 0) {
    const title = late ? `No response within ${TIMEOUT / 1000} seconds` : "No response";
    const advice = "The server cannot be reached, or the connection was interrupted. Is it running, and are you online? Then try again.";
    return { title, advice, errors: new Map() };
  }
  const { message, errors } = readErrors(json, columns);
  const wait = retryAfter(headers);
  const again = `Try again in ${wait === null ? "a moment" : span(wait)}.`;
  if (json === null && status < 400) {
    const advice = "Is there a login in front of it? Then reload this page.";
    return { title: "This is not a response of a gate", advice, errors };
  }
  const others = status >= 500
    ? [FAILED, `Its operator can find the error in the log, under the id ${headers.get("x-request-id") ?? "of the request"}.`]
    : [INVALID, errors.size ? "Fix the marked fields." : "Change it and try again."];
  const [title, advice] = PROBLEMS[status] || others;
  const foreign = `A server in front of the gate responded with ${status}: ${text.slice(0, 200)}`;
  return { title, message: json === null ? foreign : message, advice: advice || again, errors };
}
