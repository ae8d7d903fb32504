// The filters of the list of flows: a form, chips of what is set, and which of them leaves nothing.

import { get } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { address, change, go } from "./router.js";

/** Every filter by its parameter of the API: its label, and what kind of input it takes. */
export const FILTERS = {
  id: ["Id begins with", "search"],
  status: ["Status", "text"],
  flow: ["Flow", "text"],
  app: ["App", "text"],
  since: ["Since", "text"],
  until: ["Until", "text"],
  version: ["Version", "text"],
  host: ["Host", "text"],
  user: ["User", "text"],
  min_duration_ms: ["At least (ms)", "number"],
  rerun_of: ["Re-run of", "text"],
  text: ["Text in payload", "search"],
  failed: ["Failed", "checkbox"],
  failed_step: ["With a failed step", "checkbox"],
};

const PLAIN = ["id", "flow", "app", "since", "status"];
const RANGES = [["", "any time"], ["-15m", "15 min"], ["-1h", "1 hour"], ["-6h", "6 hours"], ["-24h", "24 hours"], ["-7d", "7 days"], ["-30d", "30 days"]];

/** The filters among the values of an address. */
export function chosen(query) {
  return Object.fromEntries(Object.keys(FILTERS).filter((name) => query[name]).map((name) => [name, query[name]]));
}

/** The form. What is entered goes into the address when it is entered whole. */
export function form(query) {
  const enter = (event) => {
    const { name, type, checked, value } = event.target;
    if (name in FILTERS) change({ [name]: type === "checkbox" ? (checked ? "true" : "") : value.trim(), after: "" });
  };
  const submit = (event) => {
    event.preventDefault();
    const values = Object.fromEntries([...event.target.elements].filter((input) => input.name in FILTERS)
      .map((input) => [input.name, input.type === "checkbox" ? (input.checked ? "true" : "") : input.value.trim()]));
    change({ ...values, after: "" });
  };
  const more = Object.keys(FILTERS).filter((name) => !PLAIN.includes(name));
  return h("form", { class: "filters", role: "search", "aria-label": "Flows", onsubmit: submit, onchange: enter },
    PLAIN.map((name) => field(name, query[name])),
    h("details", { class: "more", open: more.some((name) => query[name]) },
      h("summary", {}, "More filters"), h("div", { class: "fields" }, more.map((name) => field(name, query[name])))),
    h("button", { type: "submit", class: "off-screen" }, "Search"));
}

function field(name, value = "") {
  const [label, type] = FILTERS[name];
  const id = `filter-${name}`;
  if (name === "since") {
    const known = RANGES.some(([range]) => range === value);
    const options = known ? RANGES : [...RANGES, [value, value]];
    return h("div", { class: "field" }, h("label", { for: id }, label),
      h("select", { id, name }, options.map(([range, text]) => h("option", { value: range, selected: range === value }, text))));
  }
  if (type === "checkbox") {
    return h("label", { class: "check", for: id }, h("input", { id, name, type, checked: value === "true" }), label);
  }
  const hint = { status: "any", until: "2026-11-21T20:30 or -1h", id: "3acf3d…" }[name];
  const least = type === "number" ? { min: 0, step: "any" } : {};
  return h("div", { class: "field" }, h("label", { for: id }, label),
    h("input", { id, name, type, value, placeholder: hint, autocomplete: "off", spellcheck: "false", ...least }));
}

/** What is set, each with a way to take it off. */
export function chips(query) {
  const set = Object.entries(chosen(query));
  if (!set.length) return null;
  return h("ul", { class: "chips", "aria-label": "Filters that are set" },
    set.map(([name, value]) => h("li", {},
      h("a", { href: without(query, name), "aria-label": `Take off ${said(name, value)}` }, said(name, value), icon("close")))),
    h("li", {}, h("a", { class: "plain", href: "/flows" }, "Take off all")));
}

function said(name, value) {
  const [label, type] = FILTERS[name];
  return type === "checkbox" ? label : `${label}: ${value}`;
}

function without(query, name) {
  return address("/flows", { ...chosen(query), [name]: "" });
}

/**
 * Says which filter leaves nothing: the same question is asked once without each of them, and those without which there
 * are flows are named. With one filter it is that one, if there are flows at all.
 */
export async function whyEmpty(element, query, signal) {
  const set = chosen(query);
  const names = Object.keys(set);
  if (!names.length) {
    fill(element, h("p", { class: "lead" }, "Nothing is stored yet."),
      h("p", {}, "Runs appear as soon as a runtime publishes them and a collector stores them: ", h("code", {}, "flowtrail dev"),
        " shows it with sample traffic."));
    return;
  }
  fill(element, h("p", { class: "lead" }, "No flow matches."), h("p", { class: "dim" }, "Looking which filter leaves nothing…"));
  const found = await Promise.all(names.map(async (name) => {
    const answer = await get("flows", { ...set, [name]: "", limit: 1 }, signal);
    return answer.flows.length > 0;
  }));
  const guilty = names.filter((_, at) => found[at]);
  const many = "No single filter does it: take off several.";
  fill(element, h("p", { class: "lead" }, "No flow matches."),
    guilty.length
      ? h("ul", { class: "guilty" }, guilty.map((name) => h("li", {},
        "There are flows without ", h("strong", {}, said(name, set[name])), ". ",
        h("button", { type: "button", onclick: () => go(without(query, name)) }, "Take it off"))))
      : h("p", {}, names.length > 1 ? many : "There are none without it either."));
}
