// What Kafka has of a run or a step: where its rows came from.

import { get } from "./api.js";
import { badge, fill, h, table } from "./dom.js";
import { number, size, time } from "./time.js";

const STOPPED = { time: "after 5 s", records: "after 200 000 records", messages: "after 1 000 messages" };

/** Reads them into an element. */
export async function messages(element, where, signal) {
  fill(element, h("p", { class: "dim", "aria-busy": "true" }, "Reading the topic…"));
  const answer = await get(where, {}, signal);
  const searched = answer.searched.map(({ topic, partition, from, to }) => `${topic} ${partition}, offsets ${number(from)} to ${number(to)}`);
  const stopped = answer.stopped
    ? h("p", { class: "note" }, `It stopped ${STOPPED[answer.stopped]}; there may be more behind.`) : null;
  const list = answer.messages.length
    ? table("Messages in Kafka", [
      ["Topic", "", ({ topic }) => topic], ["Partition", "number", ({ partition }) => partition],
      ["Offset", "number", ({ offset }) => offset], ["Time", "", ({ timestamp }) => time(timestamp)],
      ["What", "", what], ["Status", "", ({ status }) => status ?? ""], ["Became", "", became],
      ["Changed on the way", "", ({ sanitised }) => (sanitised ?? []).join(", ")], ["Size", "number", ({ bytes }) => size(bytes)],
    ], answer.messages)
    : h("p", {}, "Kafka has no message of it any more, or its producer puts it on another partition.");
  fill(element, list, stopped, h("p", { class: "dim" }, `Read ${number(answer.records)} records of ${searched.join("; ") || "no partition"}.`));
}

function what({ kind, step, phase }) {
  const phases = ["opened", "running", "closed"];
  return [kind ?? "rejected", step ? ` ${step}` : "", phases[phase] ? h("span", { class: "dim" }, ` ${phases[phase]}`) : null];
}

/** What is shown now, what a later run or execution took the place of, what is not stored; and what came too late to count. */
function became({ shown, late, rejected }) {
  if (rejected) return badge("failed", `dead letter: ${rejected}`);
  const mark = shown === "shown" ? badge("completed", "shown") : shown ? h("span", { class: "superseded" }, shown) : "";
  return late ? [mark, h("span", { class: "note" }, " late")] : mark;
}
