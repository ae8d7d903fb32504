// One row of a run, as the view has it.

import { append, badge, fill, h, icon } from "./dom.js";
import { duration } from "./time.js";

const DEEPEST = 12;

/** Fills a row with a bar. */
export function line(run, bar, element) {
  const { view } = run;
  element.classList.add(`is-${view}`);
  // By the keyboard this is `e`; a list box's rows hold nothing to tab to.
  const opener = bar.kind === "flow"
    ? h("span", { class: "opener", title: "What it ran (e)", onclick: (event) => open(run, bar, event) }, icon("open"))
    : null;
  if (bar.kind === "flow") element.classList.toggle("opened", run.bars.opened.has(bar.id));
  const name = bar.task || bar.flow || "unnamed";
  const label = h("span", { class: "label", style: { "--depth": Math.min(bar.depth, DEEPEST) }, title: `${name}, ${bar.id}` },
    opener, badge(bar.state, bar.status, true), h("span", { class: "task" }, name),
    h("span", { class: "number" }, bar.kind === "flow" ? "called" : bar.id));
  if (view === "raw") return fill(element, h("code", { class: "json" }, run.raw.text(bar)));
  append(element, label);
  if (view === "timeline") append(element, h("span", { class: "track" }, run.timeline.bar(bar)));
  else {
    append(element,
      h("span", { class: "status" }, bar.status ?? bar.state),
      h("span", { class: "marks" }, bar.rerun ? "re-run" : "", bar.critical ? h("span", { class: "critical-mark" }, "critical") : null),
      h("span", { class: "at" }, `+${duration(bar.start_ms)}`),
      h("span", { class: "took" }, bar.end_ms === null ? "open" : duration(bar.end_ms - bar.start_ms)));
  }
}

function open(run, bar, event) {
  event.stopPropagation();
  run.toggle(bar);
}
