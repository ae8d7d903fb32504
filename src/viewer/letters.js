// Dead letters: what could not be stored, why, and what to do with them.

import { get, path, post } from "./api.js";
import { badge, fill, h, table, toast, unseen } from "./dom.js";
import { payload } from "./json.js";
import { may } from "./me.js";
import { address, change } from "./router.js";
import { number, size, time } from "./time.js";

/** The page: counts by reason, the letters, and the one that is looked at. */
export async function letters(element, query, signal) {
  const answer = await get("operations/deadletters", { reason: query.reason, topic: query.topic, after: query.after, limit: 100 }, signal);
  const reasons = h("ul", { class: "statuses", "aria-label": "By reason" }, answer.by_reason.map(({ reason, letters: count }) => h("li", {},
    h("a", { href: address("/operations/letters", { reason: query.reason === reason ? "" : reason }), class: query.reason === reason ? "on" : "" },
      badge("failed", reason), " ", h("strong", {}, number(count))))));
  const chosen = new Set();
  const one = h("div", { class: "letter" });
  if (!answer.letters.length) return fill(element, reasons, h("p", { class: "lead" }, query.reason ? "None of this reason." : "There are none: everything could be stored."));
  const columns = [
    ...(may("operate") ? [[unseen("Chosen"), "pick", ({ id }) => box(chosen, id)]] : []),
    ["Number", "number", ({ id }) => h("a", { href: address("/operations/letters", { ...query, letter: id }) }, id)],
    ["Kept", "", (letter) => time(letter.kept_at)], ["Reason", "", ({ reason }) => badge("failed", reason)],
    ["Detail", "long", ({ detail, sqlstate }) => [detail, sqlstate ? h("code", {}, ` ${sqlstate}`) : null]],
    ["From", "", ({ topic, partition, offset }) => `${topic} ${partition}:${offset}`], ["Size", "number", ({ bytes }) => size(bytes)],
  ];
  fill(element, reasons, may("operate") ? actions(chosen) : null, table("Dead letters", columns, answer.letters),
    answer.next ? h("a", { class: "button", href: address(location.pathname, { ...query, after: answer.next }) }, "Older") : null, one);
  if (query.letter) await show(one, query.letter, signal);
  return undefined;
}

function box(chosen, id) {
  const press = (event) => (event.target.checked ? chosen.add(id) : chosen.delete(id));
  return h("input", { type: "checkbox", "aria-label": `Choose letter ${id}`, onchange: press });
}

async function show(element, id, signal) {
  const { letter, key, payload: body, headers } = await get(`operations/deadletters/${path(id)}`, {}, signal);
  fill(element, h("h2", {}, `Letter ${letter.id}`, h("button", { type: "button", class: "quiet", onclick: () => change({ letter: "" }) }, "close")),
    h("div", { class: "trio" }, payload("Key", key), payload("Payload", body),
      payload("Headers", headers?.length ? { json: headers, bytes: null } : null)));
  element.scrollIntoView({ block: "nearest" });
}

function actions(chosen) {
  const act = (what, question) => () => {
    if (!chosen.size) return toast("Choose letters first");
    return confirm(what, `${question} ${number(chosen.size)} dead letter${chosen.size > 1 ? "s" : ""}?`, [...chosen]);
  };
  return h("div", { class: "buttons" },
    h("button", { type: "button", onclick: act("retry", "Try again to store") }, "Try again"),
    h("button", { type: "button", class: "danger", onclick: act("drop", "Throw away") }, "Throw away"));
}

function confirm(what, question, ids) {
  const said = h("div", { role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const { done, left } = await post(`operations/deadletters/${what}`, { ids });
      toast(`${number(done)} done, ${number(left.length)} left`);
      dialog.close();
      // Read again; the letter that was looked at may be gone.
      change({ letter: "" }, true);
    } catch (problem) {
      fill(said, h("p", { class: "bad" }, problem.message));
      button.disabled = false;
    }
  };
  const button = h("button", { class: what === "drop" ? "danger" : "main", type: "submit" }, what === "drop" ? "Throw away" : "Try again");
  const dialog = h("dialog", { "aria-labelledby": "letters-title", onclose: () => dialog.remove() },
    h("form", { class: "ask", onsubmit: submit }, h("h2", { id: "letters-title" }, question),
      h("p", {}, what === "drop" ? "They can't be had back from here; what Kafka still has stays there. It is kept in the audit." : "What is wrong with them may be mended by now. It is kept in the audit."),
      said, h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), button)));
  document.body.append(dialog);
  dialog.showModal();
}
