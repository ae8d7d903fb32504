// What is known of the chosen step, or of the run while none is chosen.

import { get, path } from "./api.js";
import { badge, fact, fill, h, icon, table } from "./dom.js";
import { payload } from "./json.js";
import { kin, runs } from "./kin.js";
import { messages } from "./messages.js";
import { address, change, query as now } from "./router.js";
import { duration, size, time } from "./time.js";
import { variables } from "./variables.js";

/** As much of a payload as is asked for. */
const BYTES = 1_048_576;

/** The lower part of a run's page. `move(by)` chooses another step. */
export class Panel {
  constructor(flow, signal, move) {
    Object.assign(this, { id: flow, move, key: null });
    signal.addEventListener("abort", () => this.asking?.abort());
    this.title = h("div", { class: "panel-head" });
    this.body = h("div", { class: "panel-body", tabindex: "-1" });
    this.element = h("section", { class: "panel", "aria-label": "Chosen step" }, this.title, this.body);
  }

  /** The run has been read. */
  flow(answer) {
    this.answer = answer;
    // A step that is chosen is shown once the steps are there.
    if (this.bar || now().step !== undefined) return;
    this.key = null;
    this.show(null, now());
  }

  /** To the payloads, for whoever uses keys. */
  focus() {
    this.body.focus();
  }

  /** Shows a step, or the run for null; reads it unless it is shown already. */
  show(bar, query) {
    this.bar = bar;
    const tab = query.tab ?? "";
    const key = JSON.stringify([bar?.of, bar?.id, bar?.kind, bar?.status, tab, query.execution]);
    if (key === this.key) return;
    this.key = key;
    this.element.classList.toggle("of-step", Boolean(bar));
    this.asking?.abort();
    this.asking = new AbortController();
    const draw = !bar ? this.drawFlow(tab) : bar.kind === "flow" ? this.drawCalled(bar) : this.drawStep(bar, tab, query.execution);
    draw.catch((problem) => {
      if (problem.name === "AbortError") return;
      const text = problem.status === 404 ? "This step is not stored." : problem.message;
      fill(this.body, h("p", { class: "bad", role: "alert" }, text));
    });
  }

  tabs(names, chosen) {
    return h("nav", { class: "tabs", "aria-label": "Of what is chosen" }, names.map(([name, title]) =>
      h("a", { href: address(location.pathname, { ...now(), tab: name }), "aria-current": name === chosen ? "true" : null }, title)));
  }

  async drawFlow(tab) {
    const { answer } = this;
    if (!answer?.flow) {
      fill(this.title);
      return fill(this.body, h("p", { class: "dim" }, answer ? "Choose a step." : "…"));
    }
    const { kin: relatives } = answer;
    const many = relatives.children.length + relatives.reruns.length + (relatives.parent ? 1 : 0) + (relatives.original ? 1 : 0);
    const names = [["", "Payloads"], ["kin", `Kin ${many || ""}`], ["runs", `Runs ${answer.runs.length || ""}`],
      ["variables", "Variables"], ["messages", "Kafka"]];
    fill(this.title, h("h2", {}, "The run"), this.tabs(names, tab));
    if (tab === "kin") return fill(this.body, kin(answer));
    if (tab === "runs") return fill(this.body, runs(answer));
    if (tab === "variables") return variables(this.body, this.id, this.asking.signal);
    if (tab === "messages") return messages(this.body, `flows/${path(this.id)}/messages`, this.asking.signal);
    const { input, output, error, misc } = answer.flow;
    return fill(this.body, trio({ input, output, error, misc }));
  }

  async drawCalled(bar) {
    const run = `/flows/${path(bar.id)}`;
    fill(this.title, this.heading(bar.flow || "unnamed", bar), h("a", { class: "button", href: run }, "Open this run"), this.around());
    const { flow } = await get(`flows/${path(bar.id)}`, { payload_bytes: BYTES }, this.asking.signal);
    fill(this.body, flow ? trio(flow) : h("p", { class: "dim" }, "Only steps of it are stored."));
  }

  async drawStep(bar, tab, execution) {
    const names = [["", "Payloads"], ["data", "Data"], ["executions", "Executions"], ["messages", "Kafka"]];
    fill(this.title, this.heading(bar.task || "step", bar), this.tabs(names, tab), this.around());
    const where = `flows/${path(bar.of)}/steps/${path(bar.id)}`;
    if (tab === "messages") return messages(this.body, `${where}/messages`, this.asking.signal);
    const answer = await get(where, { execution, payload_bytes: BYTES }, this.asking.signal);
    fill(this.title, this.heading(answer.step.task || "step", answer.step, answer.superseded), this.tabs(names, tab), this.around());
    if (tab === "data") return fill(this.body, data(answer));
    if (tab === "executions") return fill(this.body, executions(answer));
    return fill(this.body, facts(answer), trio(answer));
  }

  heading(name, { state, status, id }, superseded = false) {
    return h("h2", {}, h("span", { class: "name" }, name), h("span", { class: "number" }, id), badge(state, status),
      superseded ? h("span", { class: "superseded" }, "superseded") : null);
  }

  around() {
    const button = (title, sign, by) => h("button", { type: "button", class: "quiet", title, "aria-label": title, onclick: () => this.move(by) }, sign);
    const none = () => change({ step: "", of: "", execution: "" });
    return h("span", { class: "around" }, button("Step before (k)", "↑", -1), button("Next step (j)", "↓", 1),
      h("button", { type: "button", class: "quiet", title: "Back to the run (Esc)", "aria-label": "Back to the run", onclick: none }, icon("close")));
  }
}

/** Input, output and error side by side; what there is none of takes little room. */
function trio({ input, output, error, misc }) {
  return h("div", { class: "trio" }, payload("Input", input), payload("Output", output), payload("Error", error),
    misc ? payload("Misc", misc) : null);
}

function facts({ step }) {
  return h("dl", { class: "facts" },
    fact("Started", time(step.started)), fact("Ended", time(step.ended)),
    fact("Took", step.duration_ms === null ? "open" : duration(step.duration_ms)), fact("Flow", step.flow),
    fact("Subflow", step.subflow !== "0" && step.subflow), fact("Called by step", step.parent), fact("Re-run", step.rerun && "yes"),
    fact("Phase", ["opened", "running", "closed"][step.phase] ?? step.phase), fact("Data", size(step.data_bytes)));
}

function data({ data: bytes, tasks, misc }) {
  const rows = tasks?.length
    ? table("Tasks in this step", [
      ["Task", "", (task) => task.id], ["Status", "", (task) => task.status], ["Flow", "", (task) => task.flowname],
      ["Subflow", "number", (task) => task.subflowId], ["Began a subflow", "", (task) => (task.newSubflow ? "yes" : "")],
    ], tasks) : null;
  return [rows, h("div", { class: "trio" }, payload("Data", bytes), misc ? payload("Misc", misc) : null)];
}

/** What was run again: each execution, those that count no longer among them. */
function executions({ executions: all, step }) {
  const link = ({ execution }) => h("a", {
    href: address(location.pathname, { ...now(), execution, tab: "" }),
    "aria-current": execution === step.execution ? "true" : null,
  }, String(execution));
  return table("Executions", [
    ["Execution", "", link], ["State", "", (each) => badge(each.state, each.status)],
    ["Counts", "", (each) => (each.superseded ? h("span", { class: "superseded" }, "superseded") : "yes")],
    ["Started", "", (each) => time(each.started)], ["Took", "number", (each) => duration(each.duration_ms)],
  ], all);
}
