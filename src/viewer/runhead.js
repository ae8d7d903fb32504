// The head of a run: what became of it, where it came from, and what can be done with it.

import { blob, path } from "./api.js";
import { badge, copyButton, fact, h, icon } from "./dom.js";
import { may } from "./me.js";
import { rerun } from "./rerun.js";
import { address } from "./router.js";
import { duration, time } from "./time.js";

/** Its parts, in order. */
export function head(answer, run) {
  const { id, flow, kin, runs, steps } = answer;
  if (!flow) {
    return [h("h1", {}, "Run"), h("p", { class: "id" }, id), h("p", { class: "note" }, "Only steps of this run are stored; its own event has not come.")];
  }
  return [
    h("div", { class: "title" },
      h("h1", {}, flow.flow || "unnamed"), badge(flow.state, flow.status),
      h("span", { class: "id" }, id, copyButton(id, "Copy the id")), actions(answer, run)),
    h("dl", { class: "facts" },
      fact("Started", time(flow.started)), fact("Took", flow.duration_ms === null ? "open" : duration(flow.duration_ms)),
      fact("App", link("app", flow.app), flow.version && ` ${flow.version}`), fact("Host", link("host", flow.host)),
      fact("User", link("user", flow.user)), fact("Steps", steps.total),
      fact("Superseded", steps.superseded || null), fact("Runs", runs.length || null),
      fact("Re-run of", kin.original && to(kin.original)), fact("Called by", kin.parent && to(kin.parent)),
      fact("Re-runs", flow.reruns ? h("a", { href: address("/flows", { rerun_of: id }) }, flow.reruns) : null),
      fact("Trace", flow.trace_id && [h("code", {}, flow.trace_id), copyButton(flow.trace_id, "Copy the trace id")])),
    failure(steps.failed.at(-1), flow),
  ];
}

function link(filter, value) {
  return value ? h("a", { href: address("/flows", { [filter]: value }) }, value) : null;
}

function to(flow) {
  return h("a", { href: `/flows/${path(flow.id)}`, title: flow.id }, flow.flow || flow.id.slice(0, 8));
}

/** The failed step with a way to it: the first that failed of those that the API names. */
function failure(step, flow) {
  if (!step && flow.state !== "failed") return null;
  const message = flow.error?.json?.message ?? flow.error?.text ?? null;
  return h("p", { class: "failure" }, icon("failed"),
    step ? h("a", { href: address(location.pathname, { step: step.id }) }, `${flow.state === "failed" ? "Failed in" : "A step failed:"} ${step.task || "step"} ${step.id}`) : h("strong", {}, "Failed"),
    typeof message === "string" && message ? h("span", { class: "message" }, message) : null);
}

function actions({ id, flow }, run) {
  const save = async () => {
    const file = URL.createObjectURL(await blob(`flows/${path(id)}/export`));
    h("a", { href: file, download: `${id}.ndjson` }).click();
    URL.revokeObjectURL(file);
  };
  const again = may("operate", flow.app)
    ? h("button", { type: "button", onclick: () => rerun(run, flow) }, icon("again"), "Run again") : null;
  return h("div", { class: "actions" },
    h("a", { class: "button", href: address("/compare", { a: id }) }, "Compare"),
    h("button", { type: "button", onclick: save }, icon("down"), "Export"), again);
}
