// What stands between the head of a run and its steps: views, failures, zoom, search.

import { h, icon } from "./dom.js";
import { address, change, query } from "./router.js";
import { number } from "./time.js";

/** Its parts, in order. */
export function toolbar(run) {
  const failed = run.bars.list.filter((bar) => bar.state === "failed").length;
  return [run.tabs, failures(run, failed), run.view === "timeline" ? zoom(run.timeline) : null, search(run, failed)];
}

/** The three views, as links that keep what is chosen. */
export function views(run) {
  const view = (name, title, key) => h("a", {
    href: address(location.pathname, { ...query(), view: name === "timeline" ? "" : name }), title: `${title} (${key})`,
    "aria-current": run.view === name ? "true" : null,
  }, title);
  return [view("timeline", "Timeline", 1), view("compact", "Compact", 2), view("raw", "Raw", 3)];
}

function failures(run, failed) {
  const { total, list } = run.bars;
  const count = list.length < total ? `${number(list.length)} of ${number(total)} steps` : `${number(total)} step${total === 1 ? "" : "s"}`;
  if (!failed) return h("span", { class: "count" }, h("span", { class: "total" }, count));
  return h("span", { class: "count" }, h("span", { class: "total" }, count), h("span", { class: "group", role: "group", "aria-label": "Failures" },
    h("button", { type: "button", class: "fail", title: "First failure, then the next (f)", onclick: () => run.failure(1) },
      icon("failed"), `${number(failed)} failed`),
    h("button", { type: "button", title: "Failure before (p)", "aria-label": "Failure before", onclick: () => run.failure(-1) }, "‹"),
    h("button", { type: "button", title: "Next failure (n)", "aria-label": "Next failure", onclick: () => run.failure(1) }, "›")));
}

function zoom(timeline) {
  const button = (label, sign, act) => h("button", { type: "button", "aria-label": label, title: label, onclick: act }, sign);
  const box = (id, label, checked, set) =>
    h("label", { class: "check" }, h("input", { id, type: "checkbox", checked, onchange: (event) => set(event.target.checked) }), label);
  return h("span", { class: "zoom" },
    h("span", { class: "group", role: "group", "aria-label": "Zoom" },
      button("Farther (-)", "−", () => timeline.zoom(2)), button("Fit the whole run (0)", "Fit", () => timeline.fit()),
      button("Closer (+)", "+", () => timeline.zoom(0.5))),
    timeline.gaps.length ? box("cut", "Cut idle time", timeline.cut, (cut) => timeline.cutGaps(cut)) : null,
    box("critical", "Critical path", timeline.critical, (on) => {
      timeline.critical = on;
      timeline.changed();
    }));
}

function search(run, failed) {
  const find = h("input", {
    id: "find", type: "search", value: run.query.find ?? "", placeholder: "Find a step", "aria-label": "Find a step by task or id",
    onchange: (event) => change({ find: event.target.value.trim() }, true),
  });
  const only = failed || run.query.only
    ? h("label", { class: "check" }, h("input", {
      id: "only", type: "checkbox", checked: run.query.only === "failed",
      onchange: (event) => change({ only: event.target.checked ? "failed" : "" }, true),
    }), "Only failed") : null;
  return h("span", { class: "find" }, only, find);
}
