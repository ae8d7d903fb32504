// The variables of a run as they were last set, by whatever has them.

import { get, path } from "./api.js";
import { fill, h, table } from "./dom.js";
import { number, time } from "./time.js";

/** As much of a value as a line shows. */
const BYTES = 300;

/** Reads them into an element, a piece at a time. */
export async function variables(element, flow, signal) {
  fill(element, h("p", { class: "dim", "aria-busy": "true" }, "Reading the variables…"));
  await add(element, flow, signal, [], "");
}

async function add(element, flow, signal, before, after) {
  const answer = await get(`flows/${path(flow)}/variables`, { after, value_bytes: BYTES }, signal);
  const all = [...before, ...answer.variables];
  const failed = (problem) => {
    if (problem.name !== "AbortError") fill(element, list(all), h("p", { class: "bad", role: "alert" }, problem.message));
  };
  const read = () => add(element, flow, signal, all, answer.next).catch(failed);
  const more = answer.next && h("button", { type: "button", onclick: read }, "More");
  fill(element, all.length ? list(all) : h("p", { class: "dim" }, "It has none."), more);
}

function list(all) {
  return table("Variables", [
    ["Name", "name", ({ name, scope }) => [name, scope ? h("span", { class: "id" }, scope) : null]],
    ["Type", "", ({ type }) => type ?? ""], ["Value", "", value], ["Revision", "number", ({ revision }) => number(revision)],
    ["Created", "", ({ created }) => time(created)], ["Changed", "", ({ updated }) => time(updated)],
  ], all);
}

function value({ value: stored, removed }) {
  if (removed) return h("span", { class: "superseded" }, "removed");
  if (!stored) return h("span", { class: "dim" }, "none");
  const text = "json" in stored ? JSON.stringify(stored.json) : stored.text ?? stored.base64;
  return [h("code", {}, text), stored.truncated ? h("span", { class: "dim" }, " …") : null];
}
