// Asks for a re-run, after the person has said so.

import { path, post } from "./api.js";
import { h, toast } from "./dom.js";
import { address, go } from "./router.js";

/** Asks whether, and from which step, and then the server. */
export function rerun(run, flow) {
  const chosen = run.list[run.index];
  // A re-run begins with a task of the main flow, and steps of Flogo are numbers.
  const fits = chosen && /^\d+$/.test(chosen.id) && chosen.kind === "step" && chosen.of === run.id && chosen.depth === 0;
  const begin = (value, text, checked) => h("label", {}, h("input", { type: "radio", name: "from", value, checked }), text);
  const said = h("p", { class: "bad", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    const from = new FormData(event.target).get("from");
    button.disabled = true;
    try {
      const answer = await post(`flows/${path(flow.id)}/rerun`, from ? { from_step: Number(from) } : {});
      dialog.close();
      toast(`Asked ${answer.asked}`);
      if (!from) go(address("/flows", { rerun_of: flow.id }));
    } catch (problem) {
      said.textContent = problem.message;
      button.disabled = false;
    }
  };
  const button = h("button", { class: "main", type: "submit" }, "Run it again");
  const dialog = h("dialog", { "aria-labelledby": "rerun-title", onclose: () => dialog.remove() },
    h("form", { class: "ask", onsubmit: submit },
      h("h2", { id: "rerun-title" }, `Run ${flow.flow || flow.id} again?`),
      h("p", {}, "The app is asked to do the work once more, with everything that it does outside. Who asked is kept in the audit."),
      h("fieldset", {}, h("legend", {}, "Begin"),
        begin("", "at the start, as a run of its own", !fits),
        fits ? begin(chosen.id, `at step ${chosen.id}, ${chosen.task ?? ""}, under the same id`, true)
          : h("p", { class: "dim" }, "Choose a step of the main flow first to begin with that.")),
      said,
      h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), button)));
  document.body.append(dialog);
  dialog.showModal();
}
