// Counts by status, and starts over time, both to click.

import { get } from "./api.js";
import { badge, fill, h } from "./dom.js";
import { chosen } from "./filters.js";
import { address } from "./router.js";
import { format, number, time } from "./time.js";

const BUCKETS = 48;

/** Fills two elements with the counts for the filters of an address. */
export async function counts(byStatus, overTime, query, signal) {
  const filters = chosen(query);
  // The words to choose from are those of all statuses, or choosing one would hide the others.
  const any = { ...filters, status: "", failed: "" };
  const narrowed = filters.status || filters.failed;
  const all = get("counts", { ...any, buckets: BUCKETS }, signal);
  const these = narrowed ? get("counts", { ...filters, buckets: BUCKETS }, signal) : all;
  statuses(byStatus, await all, filters);
  histogram(overTime, await these, filters);
}

function statuses(element, answer, filters) {
  const now = (filters.status ?? "").split(",").filter(Boolean).map((word) => word.toLowerCase());
  const atLeast = answer.sampled ? "≥ " : "";
  const link = ({ status, state, flows }) => {
    const on = now.includes(status.toLowerCase());
    const words = on ? now.filter((word) => word !== status.toLowerCase()) : [...now, status];
    return h("li", {}, h("a", {
      href: address("/flows", { ...filters, status: words.join(",") }), class: on ? "on" : "", "aria-current": on ? "true" : null,
    }, badge(state, status), " ", h("strong", {}, atLeast + number(flows))));
  };
  fill(element, h("ul", { class: "statuses", "aria-label": "By status" }, answer.by_status.filter(({ status }) => status).map(link)));
}

function histogram(element, answer, filters) {
  // An element without a child is not shown at all.
  if (!answer.histogram) return fill(element);
  const { buckets, width_ms: width } = answer.histogram;
  const most = Math.max(...buckets.map(({ flows }) => flows), 1);
  const bar = ({ start, flows, failed }, at) => {
    const end = new Date(Date.parse(start) + width).toISOString();
    const label = `${format(start, "second")}: ${flows} started, ${failed} failed`;
    return h("a", {
      href: address("/flows", { ...filters, since: start, until: end }), title: label, "aria-label": label,
      // One stop for the tab key; arrows go on from there.
      tabindex: at === buckets.length - 1 ? "0" : "-1", class: "bucket",
    },
    h("span", { class: "good", style: { height: `${(100 * (flows - failed)) / most}%` } }),
    h("span", { class: "fail", style: { height: `${(100 * failed) / most}%` } }));
  };
  const arrows = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const bars = [...event.currentTarget.children];
    const to = step && bars[bars.indexOf(document.activeElement) + step];
    if (!to) return;
    for (const other of bars) other.tabIndex = other === to ? 0 : -1;
    to.focus();
    event.preventDefault();
    event.stopPropagation();
  };
  const last = buckets.at(-1);
  fill(element,
    h("div", { class: "bars", role: "group", "aria-label": "Starts over time; arrows move between times", onkeydown: arrows },
      buckets.map(bar)),
    h("p", { class: "axis" }, time(buckets[0].start, "second"),
      h("span", {}, `most ${number(most)}`,
        answer.sampled ? [", of the newest ", number(answer.flows), " since ", time(answer.complete_since, "second")] : null),
      time(new Date(Date.parse(last.start) + width).toISOString(), "second")));
}
