// How far what is shown lies behind what was posted.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { duration, number, time } from "./time.js";

const EVERY = 10_000;

/** Keeps saying so in an element, while the page can be seen. */
export function freshness(element) {
  const look = async () => {
    if (document.hidden) return;
    try {
      show(element, await get("freshness"));
    } catch (problem) {
      fill(element, h("span", { class: "bad" }, "freshness unknown"));
      element.title = problem.message;
    }
  };
  look();
  setInterval(look, EVERY);
  document.addEventListener("visibilitychange", look);
}

function show(element, { as_of, behind_ms, behind_records }) {
  const late = behind_ms !== null && behind_ms > 60_000;
  element.title = behind_records === null
    ? "The time of the last record that is stored; Kafka can't be asked how many wait"
    : `${number(behind_records)} records wait in Kafka`;
  const behind = behind_records ? `, ${duration(behind_ms)} behind` : "";
  fill(element, h("span", { class: late ? "bad" : "" }, h("span", { class: "wordy" }, "Data "), "as of ", time(as_of, "clock"), behind));
}
