// How long flows take and how often they fail, over time.

import { get } from "./api.js";
import { fill, h, table, unseen } from "./dom.js";
import { address, change } from "./router.js";
import { duration, format, number, time } from "./time.js";

const RANGES = [["-1h", "1 hour"], ["-6h", "6 hours"], ["-24h", "24 hours"], ["-7d", "7 days"], ["-30d", "30 days"]];

/** The view of `/stats`. */
export function stats(place, { query, signal }) {
  place.className = "stats";
  const form = h("form", { class: "filters", onsubmit: (event) => event.preventDefault() });
  const body = h("div", { "aria-live": "polite" });
  fill(place, h("h1", {}, "Stats"), form, body);
  const update = async (values) => {
    fields(form, values);
    try {
      draw(body, await get("stats", { since: values.since || "-24h", until: values.until, app: values.app, flow: values.flow, buckets: BUCKETS }, signal));
    } catch (problem) {
      if (problem.name !== "AbortError") fill(body, h("p", { class: "bad", role: "alert" }, problem.message));
    }
  };
  update(query);
  return { update };
}

function fields(form, { since = "-24h", app = "", flow = "" }) {
  const enter = (event) => change({ [event.target.name]: event.target.value.trim() });
  const field = (name, label, value) => h("div", { class: "field" }, h("label", { for: `stats-${name}` }, label),
    h("input", { id: `stats-${name}`, name, value, type: "search", onchange: enter }));
  fill(form,
    h("div", { class: "field" }, h("label", { for: "stats-since" }, "Since"),
      h("select", { id: "stats-since", name: "since", onchange: enter },
        RANGES.map(([range, text]) => h("option", { value: range, selected: range === since }, text)))),
    field("app", "App", app), field("flow", "Flow", flow));
}

function draw(element, answer) {
  if (!answer.flows.length) return fill(element, h("p", { class: "lead" }, "No flow started in this time."));
  const slowest = answer.slowest_steps ?? [];
  fill(element,
    answer.sampled ? h("p", { class: "note" }, "Of the newest flows only, whole since ", time(answer.complete_since), ".") : null,
    table("Flows", [
      ["Flow", "name", ({ app, flow }) => [h("a", { href: address("/flows", { app, flow, since: answer.since }) }, flow || "unnamed"), h("span", { class: "dim" }, ` ${app ?? ""}`)]],
      ["Runs", "number", ({ runs }) => number(runs)],
      ["Failed", "number", ({ app, flow, failed }) => (failed ? h("a", { class: "fail", href: address("/flows", { app, flow, since: answer.since, failed: "true" }) }, number(failed)) : "0")],
      ["Failure rate", "number", ({ failure_rate: rate }) => (rate === null ? "–" : `${(100 * rate).toFixed(1)} %`)],
      ["p50", "number", ({ p50_ms: ms }) => duration(ms)], ["p95", "number", ({ p95_ms: ms }) => duration(ms)],
      ["p99", "number", ({ p99_ms: ms }) => duration(ms)],
      ["Runs over time", "chart", ({ over_time: points }) => bars(points, answer)],
      ["p95 over time", "chart", ({ over_time: points }) => line(points, answer)],
      [unseen("Grid"), "", ({ app, flow }) => h("a", { href: address("/grid", { app, flow }) }, "grid")],
    ], answer.flows),
    h("h2", {}, "Slowest steps"),
    slowest.length ? table("Slowest steps", [
      ["Step", "name", ({ task, flow, app }) => [task || "unnamed", h("span", { class: "dim" }, ` ${flow ?? ""} ${app ?? ""}`)]],
      ["Runs", "number", ({ runs }) => number(runs)], ["Failed", "number", ({ failed }) => number(failed)],
      ["p50", "number", ({ p50_ms: ms }) => duration(ms)], ["p95", "number", ({ p95_ms: ms }) => duration(ms)],
      ["Most", "number", ({ max_ms: ms }) => duration(ms)],
    ], slowest) : h("p", { class: "dim" }, "None."));
}

const [WIDTH, HEIGHT] = [120, 24];
const BUCKETS = 24;

function chart(label, ...children) {
  return h("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, preserveAspectRatio: "none" }, children);
}

/** Where a bucket begins; those without a run are not told. */
function place({ start }, { since, until }) {
  return (WIDTH * (Date.parse(start) - Date.parse(since))) / (Date.parse(until) - Date.parse(since));
}

function bars(points, answer) {
  const most = Math.max(...points.map(({ runs }) => runs), 1);
  const rect = (point, from, count, kind) => count > 0 && h("rect", { class: kind, x: place(point, answer), width: WIDTH / BUCKETS - 1,
    y: HEIGHT - ((from + count) / most) * HEIGHT, height: (count / most) * HEIGHT });
  return chart(`At most ${most} runs at a time`, points.flatMap((point) =>
    [rect(point, 0, point.failed, "fail"), rect(point, point.failed, point.runs - point.failed, "good")]));
}

function line(points, answer) {
  const known = points.filter(({ p95_ms: ms }) => ms !== null);
  const most = Math.max(...known.map(({ p95_ms: ms }) => ms), 0.001);
  const spots = known.map((point) => [place(point, answer) + WIDTH / BUCKETS / 2, HEIGHT - 2 - (point.p95_ms / most) * (HEIGHT - 4)]);
  const drawn = spots.length > 1
    ? h("polyline", { points: spots.map((spot) => spot.map((each) => each.toFixed(1)).join(",")).join(" ") })
    : spots.map(([x, y]) => h("circle", { cx: x, cy: y, r: 2 }));
  return chart(`p95 up to ${duration(most)}, until ${format(answer.until, "second")}`, drawn);
}
