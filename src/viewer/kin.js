// Whom a run comes from and what came of it.

import { path } from "./api.js";
import { badge, h, table, unseen } from "./dom.js";
import { payload } from "./json.js";
import { duration, time } from "./time.js";

/** Parent, original, children and re-runs of a run. */
export function kin({ id, kin: { parent, original, children, children_complete: complete, reruns } }) {
  const all = [
    ...(parent ? [{ ...parent, as: "called this" }] : []), ...(original ? [{ ...original, as: "original" }] : []),
    ...children.map((flow) => ({ ...flow, as: "called by this" })), ...reruns.map((flow) => ({ ...flow, as: "re-run" })),
  ];
  const note = complete ? null : h("p", { class: "note" }, "There may be more that this run called: not all were looked at.");
  if (!all.length) return [h("p", { class: "dim" }, "It stands alone: nothing called it, it called nothing, nobody ran it again."), note];
  return [table("Kin", [
    [unseen("Relation"), "", ({ as }) => as], ["State", "", ({ state, status }) => badge(state, status)],
    ["Flow", "name", (flow) => [h("a", { href: `/flows/${path(flow.id)}` }, flow.flow || "unnamed"), h("span", { class: "id" }, flow.id)]],
    ["Started", "", ({ started }) => time(started)], ["Took", "number", (flow) => duration(flow.duration_ms)],
    [unseen("Compare"), "", (flow) => h("a", { href: `/compare/${path(id, flow.id)}` }, "compare")],
  ], all), note];
}

/** The runs under one id, the one that is shown last. */
export function runs({ runs: all }) {
  if (!all.length) return h("p", { class: "dim" }, "It ran once.");
  const payloads = ({ input, output, error }) => h("details", {}, h("summary", {}, "payloads"),
    h("div", { class: "trio" }, payload("Input", input), payload("Output", output), payload("Error", error)));
  return table("Runs", [
    ["State", "", ({ state, status }) => badge(state, status)], ["Started", "", ({ started }) => time(started)],
    ["Took", "number", (run) => duration(run.duration_ms)], ["Version", "", ({ version }) => version],
    ["Host", "", ({ host }) => host], ["Superseded steps", "number", (run) => run.superseded_steps], [unseen("Payloads"), "", payloads],
  ], all);
}
