// Two runs side by side, step by step.

import { get, path } from "./api.js";
import { badge, fill, h, table } from "./dom.js";
import { differences } from "./diff.js";
import { keys } from "./keys.js";
import { address, change, go } from "./router.js";
import { duration, number, time } from "./time.js";

const WORDS = { same: "same", differs: "differs", only_here: "only on the left", only_there: "only on the right" };

/** The view of `/compare/{a}/{b}`; without two ids it asks for them. */
export function compare(place, { parts: [a, b], query, signal }) {
  place.className = "compare";
  if (!a) {
    fill(place, h("h1", {}, "Compare two runs"), ask(query));
    return {};
  }
  const heads = h("div", { class: "two" });
  const steps = h("div", { "aria-live": "polite" });
  fill(place, h("h1", {}, "Compare two runs"), heads, steps);
  const update = (values) => read(heads, steps, a, b, values, signal).catch((problem) => {
    if (problem.name !== "AbortError") fill(steps, h("p", { class: "bad", role: "alert" }, problem.message));
  });
  const move = (by) => {
    const all = [...steps.querySelectorAll("summary")];
    all[Math.min(Math.max(all.indexOf(document.activeElement) + by, 0), all.length - 1)]?.focus();
  };
  keys("Compare", [
    [["j", "ArrowDown"], "Next difference", () => move(1)],
    [["k", "ArrowUp"], "Difference before", () => move(-1)],
    [["a"], "All steps, or those that differ only", () => change({ all: new URLSearchParams(location.search).has("all") ? "" : "true", after: "" })],
    [["x"], "Change sides", () => go(`/compare/${path(b, a)}`)],
  ], signal);
  update(query);
  return { update };
}

function ask({ a = "", b = "" }) {
  const field = (name, label, value) => h("div", { class: "field" }, h("label", { for: name }, label),
    h("input", { id: name, name, value, required: true, autocomplete: "off", spellcheck: "false" }));
  const submit = (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    go(`/compare/${path(given.get("a").trim(), given.get("b").trim())}`);
  };
  return h("form", { class: "ask", onsubmit: submit },
    h("p", {}, "In the list of flows two can be ticked; or give their ids."),
    field("a", "One run", a), field("b", "The other", b), h("div", { class: "buttons" }, h("button", { class: "main", type: "submit" }, "Compare")));
}

async function read(heads, steps, a, b, query, signal) {
  const answer = await get(`flows/${path(a)}/compare/${path(b)}`, { limit: 1000, after: query.after }, signal);
  fill(heads, side(answer.here, "Left"), side(answer.there, "Right"));
  const all = query.all === "true";
  const shown = answer.steps.filter(({ what }) => all || what !== "same");
  // What is looked for is shown at once.
  const first = answer.steps.find(({ what }) => what === "differs");
  const counts = ["differs", "only_here", "only_there", "same"].map((what) =>
    h("li", { class: `what-${what}` }, h("strong", {}, number(answer[what])), ` ${WORDS[what]}`));
  const toggle = h("label", { class: "check" }, h("input", {
    type: "checkbox", checked: all, onchange: (event) => change({ all: event.target.checked ? "true" : "", after: "" }, true),
  }), "Show what is the same");
  fill(steps,
    h("div", { class: "toolbar" }, h("ul", { class: "counts" }, counts), toggle),
    shown.length ? shown.map((step) => pair(step, a, b, step === first, signal)) : h("p", { class: "lead" }, "All steps are the same."),
    answer.next ? h("a", { class: "button", href: address(location.pathname, { ...query, after: answer.next }) }, "More") : null);
}

function side(flow, label) {
  return h("section", { "aria-label": label },
    h("h2", {}, h("a", { href: `/flows/${path(flow.id)}` }, flow.flow || "unnamed"), badge(flow.state, flow.status)),
    h("p", { class: "id" }, flow.id),
    h("p", {}, time(flow.started), ", ", duration(flow.duration_ms), flow.version ? `, ${flow.app ?? ""} ${flow.version}` : null));
}

/** A step of both; what differs is read when it is opened. */
function pair({ what, fields, here, there }, a, b, opened, signal) {
  const step = here ?? there;
  const both = h("div", { class: "both" });
  const open = async () => {
    if (!details.open || both.childElementCount) return;
    fill(both, h("p", { class: "dim" }, "…"));
    try {
      await payloads(both, here && [a, here.id], there && [b, there.id], fields ?? [], signal);
    } catch (problem) {
      if (problem.name !== "AbortError") fill(both, h("p", { class: "bad", role: "alert" }, problem.message));
    }
  };
  const one = (flow, each) => each
    ? [badge(each.state, each.status), h("span", { class: "number" }, duration(each.duration_ms)),
      h("a", { href: address(`/flows/${path(flow)}`, { step: each.id }) }, `step ${each.id}`)]
    : h("span", { class: "none" }, "not there");
  const details = h("details", { class: `pair what-${what}`, ontoggle: open, open: opened },
    h("summary", {}, h("span", { class: "task" }, step.task || `step ${step.id}`), h("span", { class: "what" }, WORDS[what]),
      h("span", { class: "dim" }, (fields ?? []).join(", "))),
    h("div", { class: "two" }, h("div", { class: "one" }, one(a, here)), h("div", { class: "one" }, one(b, there))), both);
  return details;
}

async function payloads(element, here, there, fields, signal) {
  const ask = (side) => side && get(`flows/${path(side[0])}/steps/${path(side[1])}`, { payload_bytes: 262_144 }, signal);
  const [left, right] = await Promise.all([ask(here), ask(there)]);
  const names = ["input", "output", "error"].filter((name) => left?.[name] || right?.[name]);
  fill(element, names.length ? names.map((name) => h("section", {},
    h("h3", {}, name, fields.includes(name) ? h("span", { class: "what" }, "differs") : null),
    lines(differences(text(left?.[name]), text(right?.[name]))))) : h("p", { class: "dim" }, "No payloads."));
}

function text(payload) {
  if (!payload) return "";
  return "json" in payload ? JSON.stringify(payload.json, null, 2) : payload.text ?? payload.base64;
}

function lines(all) {
  const mark = { same: " ", left: "−", right: "+" };
  return h("pre", { class: "diff", tabindex: "0" }, all.map(([side, line]) =>
    h("span", { class: side }, h("span", { class: "sign" }, mark[side]), line, "\n")));
}
