// The list of flows, newest first.

import { get, path } from "./api.js";
import { badge, fill, h, table, toast, unseen } from "./dom.js";
import { chips, chosen, form, whyEmpty } from "./filters.js";
import { counts } from "./histogram.js";
import { keys } from "./keys.js";
import { address, change, go } from "./router.js";
import { duration, time } from "./time.js";

const PAGE = 50;

/** The view of `/flows`. */
export function list(place, { query, signal }) {
  place.className = "list";
  const filters = h("div", {});
  const byStatus = h("div", { class: "by-status" });
  const overTime = h("div", { class: "histogram" });
  const rows = h("div", { "aria-live": "polite", "aria-busy": "true" });
  fill(place, h("h1", { class: "off-screen" }, "Flows"), filters, byStatus, overTime, rows);
  const picked = [];
  let asked = new AbortController();
  signal.addEventListener("abort", () => asked.abort());

  const update = (values) => {
    asked.abort();
    asked = new AbortController();
    // What is written into is not taken away from under the hands.
    const writing = filters.contains(document.activeElement) ? document.activeElement.id : null;
    fill(filters, form(values), chips(values));
    if (writing) document.getElementById(writing)?.focus();
    rows.setAttribute("aria-busy", "true");
    read(rows, values, picked, asked.signal).catch((problem) => trouble(rows, problem));
    counts(byStatus, overTime, values, asked.signal).catch((problem) => trouble(overTime, problem));
  };
  listKeys(rows, picked, signal);
  update(query);
  return { update };
}

function trouble(element, problem) {
  if (problem.name !== "AbortError") fill(element, h("p", { class: "bad", role: "alert" }, problem.message));
}

async function read(element, query, picked, signal) {
  const answer = await get("flows", { ...chosen(query), limit: PAGE, after: query.after }, signal);
  element.setAttribute("aria-busy", "false");
  if (!answer.flows.length && !query.after && !answer.next) {
    const empty = h("div", { class: "empty" });
    fill(element, empty);
    return whyEmpty(empty, query, signal);
  }
  fill(element, flows(answer.flows, picked), pages(answer, query));
}

function flows(items, picked) {
  const pick = (flow) => {
    const press = (event) => {
      if (event.target.checked) picked.push(flow.id);
      else picked.splice(picked.indexOf(flow.id), 1);
      compareIfTwo(picked);
    };
    return h("input", { type: "checkbox", "aria-label": `Compare ${flow.flow ?? flow.id}`, checked: picked.includes(flow.id), onchange: press });
  };
  return table("Flows", [
    [unseen("Compare"), "pick", pick],
    ["State", "", (flow) => badge(flow.state, flow.status)],
    ["Flow", "name", (flow) => [
      h("a", { href: `/flows/${path(flow.id)}` }, flow.flow || "unnamed"),
      h("span", { class: "id" }, flow.id),
    ]],
    ["App", "app", (flow) => [flow.app ?? "", flow.version ? h("span", { class: "dim" }, ` ${flow.version}`) : null]],
    ["Started", "when", (flow) => time(flow.started)],
    ["Took", "number", (flow) => duration(flow.duration_ms)],
    ["Kin", "kin", kin],
    ["Host", "host", (flow) => flow.host ?? ""],
    ["User", "user", (flow) => flow.user ?? ""],
  ], items, (flow) => ({ "data-id": flow.id }));
}

function kin(flow) {
  const marks = [];
  if (flow.rerun_of) marks.push(h("a", { href: `/flows/${path(flow.rerun_of)}`, title: flow.rerun_of }, "re-run"));
  if (flow.reruns) marks.push(h("a", { href: address("/flows", { rerun_of: flow.id }) }, `${flow.reruns} re-run${flow.reruns > 1 ? "s" : ""}`));
  if (flow.parent) marks.push(h("a", { href: `/flows/${path(flow.parent)}`, title: flow.parent }, "called"));
  return marks.flatMap((mark, at) => (at ? [", ", mark] : [mark]));
}

function pages(answer, query) {
  const back = query.after ? h("a", { class: "button", href: address("/flows", { ...query, after: "" }) }, "Newest") : null;
  const on = answer.next ? h("a", { class: "button", href: address("/flows", { ...query, after: answer.next }) }, "Older") : null;
  const far = answer.searched_to ? h("span", { class: "dim" }, "Looked back to ", time(answer.searched_to, "second"), "; older ones may match") : null;
  return back || on ? h("nav", { class: "pages", "aria-label": "Pages of the list" }, back, far, on) : null;
}

function compareIfTwo(picked) {
  if (picked.length === 2) go(`/compare/${path(...picked)}`);
  else if (picked.length === 1) toast("Choose a second one to compare");
}

/** Up and down through the rows, and what can be done with the one that has the focus. */
function listKeys(element, picked, signal) {
  const links = () => [...element.querySelectorAll("td.name a")];
  const move = (step) => {
    const all = links();
    const row = document.activeElement.closest?.("tr");
    const at = all.findIndex((link) => link.closest("tr") === row);
    const to = all[at < 0 ? 0 : Math.min(Math.max(at + step, 0), all.length - 1)];
    to?.focus();
  };
  const pick = () => {
    const box = document.activeElement.closest?.("tr")?.querySelector(".pick input");
    box?.click();
  };
  const page = (name) => [...element.querySelectorAll(".pages a")].find((link) => link.textContent === name)?.click();
  keys("Flows", [
    [["j", "ArrowDown"], "Next flow", () => move(1)],
    [["k", "ArrowUp"], "Flow before", () => move(-1)],
    [["Enter"], "Open it", () => false],
    [["x"], "Choose it to compare; a second opens the comparison", pick],
    [["/"], "Search by id", () => document.getElementById("filter-id").focus()],
    [["f"], "Failed ones only, or all again", () => change({ failed: new URLSearchParams(location.search).has("failed") ? "" : "true", after: "" })],
    [["]"], "Older", () => page("Older")],
    [["["], "Newest", () => page("Newest")],
  ], signal);
}
