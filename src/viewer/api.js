// Asks the API. A token, if one is needed, is kept for as long as the tab is open.

import { askForToken } from "./token.js";

const KEY = "flowtrail.token";

/** An answer that is an error. `status` is 0 where there was no answer. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** A path below the API's, each part escaped. */
export function path(...parts) {
  return parts.map((part) => encodeURIComponent(part)).join("/");
}

/** Asks with `GET`; `query` is an object, whose empty values are left out. Gives the JSON. */
export async function get(where, query = {}, signal = undefined) {
  const answer = await ask(address(where, query), { signal });
  return answer.json();
}

/** Sends JSON with `POST`. Gives the JSON. */
export async function post(where, body) {
  const headers = { "content-type": "application/json" };
  const answer = await ask(address(where), { method: "POST", headers, body: JSON.stringify(body) });
  return answer.json();
}

/** All that a path gives, as a file for the person to keep. */
export async function blob(where) {
  return (await ask(address(where), {})).blob();
}

function address(where, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return `/api/v1/${where}${text && `?${text}`}`;
}

async function ask(url, options) {
  const token = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(token && { authorization: `Bearer ${token}` }) };
  let answer;
  try {
    answer = await fetch(url, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "the server does not answer");
  }
  if (answer.status === 401) {
    // Whoever asked at the same time may have been given one meanwhile.
    if (sessionStorage.getItem(KEY) === token) {
      sessionStorage.setItem(KEY, await askForToken(token ? "This token is not known, or has expired." : ""));
    }
    return ask(url, options);
  }
  if (!answer.ok) throw new Problem(answer.status, await reason(answer));
  return answer;
}

async function reason(answer) {
  const text = await answer.text();
  try {
    const problem = JSON.parse(text);
    return problem.detail ?? problem.title ?? text;
  } catch {
    return text.trim() || `the server answered ${answer.status}`;
  }
}

/**
 * Follows server-sent events until `signal`: `opened()` once it listens, `heard({id, event, data})` for each. Fetched rather
 * than by EventSource, which can't send a token. Ends with a Problem, or when the server closes; `last` is the id to go on from.
 */
export async function follow(where, { query, last, signal, opened, heard }) {
  const headers = { accept: "text/event-stream", ...(last && { "last-event-id": last }) };
  const answer = await ask(address(where, query), { headers, signal });
  opened();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const message = event(block);
      if (message) heard(message);
    }
  }
}

/** One event of a stream; nothing for a comment. */
export function event(block) {
  const message = { id: null, event: "message", data: "" };
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    const [, name, value] = line.match(/^([^:]*):? ?(.*)$/);
    if (name === "data") data.push(value);
    else if (name === "id" || name === "event") message[name] = value;
  }
  message.data = data.join("\n");
  return message.data ? message : null;
}
