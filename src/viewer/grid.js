// The newest runs of a flow beside each other, step by step.

import { get, path } from "./api.js";
import { badge, fill, h } from "./dom.js";
import { keys } from "./keys.js";
import { address, change } from "./router.js";
import { duration, format } from "./time.js";

/** The view of `/grid`. */
export function grid(place, { query, signal }) {
  place.className = "grid";
  const form = h("form", { class: "filters", onsubmit: (event) => event.preventDefault() });
  const cells = h("div", { "aria-live": "polite" });
  fill(place, h("h1", {}, "Grid"), form, cells);
  const update = async (values) => {
    try {
      await choose(form, values, signal);
      if (values.flow) await draw(cells, values, signal);
      else fill(cells, h("p", { class: "dim" }, "Choose a flow: its newest runs stand beside each other, a row for each step."));
    } catch (problem) {
      if (problem.name !== "AbortError") fill(cells, h("p", { class: "bad", role: "alert" }, problem.message));
    }
  };
  keys("Grid", [
    [["ArrowRight", "l"], "Next run", () => move(cells, 1, 0)], [["ArrowLeft", "h"], "Run before", () => move(cells, -1, 0)],
    [["ArrowDown", "j"], "Step below", () => move(cells, 0, 1)], [["ArrowUp", "k"], "Step above", () => move(cells, 0, -1)],
  ], signal);
  update(query);
  return { update };
}

/** The flows to choose from are those of the newest starts. */
async function choose(form, query, signal) {
  const { flows } = await get("stats", { since: "-7d", buckets: 1 }, signal);
  const known = flows.map(({ app, flow }) => [app, flow]);
  if (query.flow && !known.some(([app, flow]) => app === query.app && flow === query.flow)) known.unshift([query.app, query.flow]);
  const pick = (event) => {
    const [app, flow] = event.target.value ? JSON.parse(event.target.value) : [];
    change({ app, flow });
  };
  const flow = h("select", { id: "grid-flow", onchange: pick }, h("option", { value: "" }, "–"),
    known.map(([app, name]) => h("option", { value: JSON.stringify([app, name]), selected: app === query.app && name === query.flow },
      `${name || "unnamed"} · ${app || "no app"}`)));
  const runs = h("select", { id: "grid-runs", onchange: (event) => change({ runs: event.target.value }) },
    ["10", "25", "50", "100"].map((count) => h("option", { value: count, selected: count === (query.runs ?? "25") }, count)));
  fill(form, h("div", { class: "field" }, h("label", { for: "grid-flow" }, "Flow"), flow),
    h("div", { class: "field" }, h("label", { for: "grid-runs" }, "Runs"), runs));
}

async function draw(element, { app, flow, runs = "25" }, signal) {
  const answer = await get("grid", { app, flow, runs }, signal);
  if (!answer.runs.length) return fill(element, h("p", { class: "lead" }, "There is no run of this flow."));
  const head = answer.runs.map((run) => h("th", { scope: "col" },
    h("a", { href: `/flows/${path(run.id)}`, title: `${format(run.started)}, ${duration(run.duration_ms)}, ${run.id}`,
      "aria-label": `Run of ${format(run.started)}: ${run.status}` }, badge(run.state, run.status, true))));
  const lines = answer.rows.map((row, at) => h("tr", {},
    h("th", { scope: "row", title: row.flow }, row.task || "unnamed", row.nth > 1 ? h("span", { class: "dim" }, ` ×${row.nth}`) : null,
      row.subflow && row.subflow !== "0" ? h("span", { class: "dim" }, ` in ${row.flow ?? row.subflow}`) : null),
    answer.cells[at].map((cell, run) => h("td", {}, cell && h("a", {
      href: address(`/flows/${path(answer.runs[run].id)}`, { step: cell.step }), title: `${cell.state}, ${duration(cell.duration_ms)}`,
      "aria-label": `${row.task} in the run of ${format(answer.runs[run].started)}: ${cell.state}, ${duration(cell.duration_ms)}`,
    }, badge(cell.state, cell.state, true))))));
  fill(element, h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Runs and steps" },
    h("table", { class: "cells" }, h("caption", { class: "off-screen" }, `The newest runs of ${flow}, newest first, and their steps`),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Newest first"), head)), h("tbody", {}, lines))));
}

function move(element, right, down) {
  const cell = document.activeElement.closest?.("td, th");
  const rows = [...element.querySelectorAll("tr")];
  const row = cell && element.contains(cell) ? rows.indexOf(cell.parentElement) : 0;
  const column = cell && element.contains(cell) ? [...cell.parentElement.children].indexOf(cell) : 0;
  // Runs that lack a step are jumped over.
  for (let [at, to] = [row + down, column + right]; rows[at]?.children[to]; [at, to] = [at + down, to + right]) {
    const link = rows[at].children[to].querySelector("a");
    if (link) return link.focus();
  }
  return undefined;
}
