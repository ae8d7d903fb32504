// How flowtrail itself is: lag, what is stored, dead letters, and what else a person at night asks.

import { get } from "./api.js";
import { fill, h, table, unseen } from "./dom.js";
import { keys } from "./keys.js";
import { letters } from "./letters.js";
import { address, go } from "./router.js";
import { duration, number, time } from "./time.js";

const EVERY = 5000;

const PAGES = {
  lag: ["Lag", lag], letters: ["Dead letters", letters], gaps: ["Gaps", gaps], lanes: ["Sessions", lanes],
  retention: ["Retention", retention], schema: ["Schema", changes], audit: ["Audit", audit], configuration: ["Configuration", configuration],
};

/** The view of `/operations` and `/operations/{page}`. */
export function operations(place, { parts: [name], query, signal }) {
  place.className = "operations";
  const current = name in PAGES ? name : "lag";
  const tab = ([page, [title]]) => h("a", { href: page === "lag" ? "/operations" : `/operations/${page}`, "aria-current": page === current ? "true" : null }, title);
  const body = h("div", { class: "page" });
  fill(place, h("h1", {}, "Operations"), h("nav", { class: "tabs", "aria-label": "Operations" }, Object.entries(PAGES).map(tab)), body);
  const names = Object.keys(PAGES);
  const step = (by) => {
    const to = names[(names.indexOf(current) + by + names.length) % names.length];
    go(to === "lag" ? "/operations" : `/operations/${to}`);
  };
  keys("Operations", [[["]"], "Next page", () => step(1)], [["["], "Page before", () => step(-1)]], signal);
  const show = (values) => PAGES[current][1](body, values, signal).catch((problem) => {
    if (problem.name === "AbortError") return;
    const text = problem.status === 403 ? "Only who may see everybody's history sees this." : problem.message;
    fill(body, h("p", { class: "bad", role: "alert" }, text));
  });
  show(query);
  if (current === "lag") {
    const timer = setInterval(() => !document.hidden && show(query), EVERY);
    signal.addEventListener("abort", () => clearInterval(timer));
  }
  return { update: show };
}

async function lag(element, _query, signal) {
  const [waiting, stored] = await Promise.all([get("operations/lag", {}, signal), get("operations/progress", {}, signal)]);
  const most = Math.max(...waiting.partitions.map(({ lag_records: records }) => records ?? 0), 1);
  const of = ({ topic, partition }) => stored.partitions.find((row) => row.group === waiting.group && row.topic === topic && row.partition === partition);
  const sum = waiting.partitions.reduce((total, { lag_records: records }) => total + (records ?? 0), 0);
  const longest = Math.max(...waiting.partitions.map(({ lag_seconds: seconds }) => seconds ?? 0), 0);
  const others = stored.partitions.filter(({ group }) => group !== waiting.group);
  fill(element,
    h("p", { class: "lead" }, sum ? `${number(sum)} records wait, up to ${duration(longest * 1000)} long.` : "Nothing waits: all that Kafka has is stored."),
    table(`Lag of ${waiting.group}`, [
      ["Topic", "", ({ topic }) => topic], ["Partition", "number", ({ partition }) => partition],
      ["Stored to", "number", ({ committed }) => number(committed)], ["Ends at", "number", ({ end }) => number(end)],
      ["Waits", "number", ({ lag_records: records }) => number(records)],
      [unseen("Share"), "meter", ({ lag_records: records }) => h("span", { class: "meter", "aria-hidden": "true" }, h("i", { style: { width: `${(100 * (records ?? 0)) / most}%` } }))],
      ["For", "number", ({ lag_seconds: seconds }) => (seconds === null ? "–" : duration(seconds * 1000))],
      ["Last record of", "", (row) => time(of(row)?.last_record)], ["Stored at", "", (row) => time(of(row)?.updated)],
    ], waiting.partitions),
    h("p", { class: "dim" }, `Group ${waiting.group}.`),
    others.length ? [h("h2", {}, "Other groups and replays"), table("Other groups", [
      ["Group", "", ({ group }) => group], ["Topic", "", ({ topic }) => topic], ["Partition", "number", ({ partition }) => partition],
      ["Stored to", "number", ({ next_offset: offset }) => number(offset)], ["Last record of", "", (row) => time(row.last_record)],
      ["Stored at", "", ({ updated }) => time(updated)],
    ], others)] : null);
}

async function gaps(element, query, signal) {
  const answer = await get("operations/gaps", { after: query.after }, signal);
  fill(element, answer.gaps.length ? table("Gaps", [
    ["Found", "", ({ found }) => time(found)], ["Group", "", ({ group }) => group], ["Topic", "", ({ topic }) => topic],
    ["Partition", "number", ({ partition }) => partition], ["Cause", "", ({ cause }) => cause],
    ["From", "number", ({ from_offset: offset }) => number(offset)], ["To", "number", ({ to_offset: offset }) => number(offset)],
    ["Detail", "long", ({ detail }) => detail],
  ], answer.gaps) : h("p", { class: "lead" }, "Nothing was lost: no record that was to be stored had left Kafka before."), more(answer, query));
}

async function lanes(element, _query, signal) {
  const { sessions } = await get("operations/lanes", {}, signal);
  fill(element, table("Sessions with Postgres", [
    ["Application", "", ({ application }) => application], ["Process", "number", ({ pid }) => pid], ["State", "", ({ state }) => state],
    ["Since", "", ({ since }) => time(since)], ["Waits for", "", (session) => session.waits_for ?? ""],
    ["Statement", "number", ({ statement_ms: ms }) => duration(ms)],
  ], sessions), h("p", { class: "dim" }, "Sizes and times of batches are in a collector's /metrics."));
}

async function retention(element, _query, signal) {
  const { policies } = await get("operations/retention", {}, signal);
  fill(element, policies.length ? table("Retention", [
    ["Policy", "", ({ policy }) => policy], ["Flows started before are gone", "", (policy) => time(policy.started_before)],
    ["Ran", "", ({ ran }) => time(ran)],
  ], policies) : h("p", { class: "lead" }, "No retention has run: everything is kept."));
}

async function changes(element, _query, signal) {
  const answer = await get("operations/schema", {}, signal);
  fill(element, h("p", {}, `This server knows changes up to ${answer.known}.`), table("Changes of the tables", [
    ["Number", "number", (change) => change.number], ["Name", "", ({ name }) => name],
    ["Applied", "", ({ applied }) => time(applied)], ["By", "", (change) => change.applied_by ?? ""],
  ], answer.changes));
}

async function audit(element, query, signal) {
  const answer = await get("operations/audit", { after: query.after }, signal);
  const detail = (value) => (value === null || value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));
  fill(element, answer.notes.length ? table("Audit", [
    ["At", "", ({ at }) => time(at)], ["Who", "", ({ actor }) => actor], ["What", "", ({ action }) => action],
    ["Of what", "", ({ object }) => object], ["Detail", "long", (note) => detail(note.detail)],
  ], answer.notes) : h("p", { class: "lead" }, "Nobody has changed anything by hand."), more(answer, query));
}

async function configuration(element, _query, signal) {
  const { settings } = await get("operations/configuration", {}, signal);
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  fill(element, table("Configuration", [["Setting", "", ({ key }) => h("code", {}, key)], ["Value", "long", ({ value }) => text(value)]], settings));
}

function more({ next }, query) {
  return next ? h("a", { class: "button", href: address(location.pathname, { ...query, after: next }) }, "Older") : null;
}
