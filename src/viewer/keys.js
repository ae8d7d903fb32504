// What keys do, and the page that says so. A view registers its keys for as long as it is shown.

import { h } from "./dom.js";

const OFF = "flowtrail.keys";
const PRESSING = new Set(["Enter", " "]);
const SCROLLING = new Set(["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "PageUp", "PageDown", "Home", "End"]);
const groups = [];
let before = "";

/** Whether keys that are single letters count; whoever speaks to the browser may want them not to. */
export function enabled() {
  return localStorage.getItem(OFF) !== "off";
}

/**
 * Keys of a view until `signal`: `[keys, what they do, action]`. A key is as the browser names it, or two with a space
 * between for one after the other: `g f`. An action that returns false leaves the key to the browser.
 */
export function keys(title, list, signal) {
  const group = { title, list };
  groups.push(group);
  signal?.addEventListener("abort", () => groups.splice(groups.indexOf(group), 1));
}

/** Begins to listen. */
export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const writing = event.target.closest?.("input:not([type='checkbox'], [type='radio']), textarea, select, dialog");
    if (writing) {
      if (event.key === "Escape" && !event.target.closest("dialog")) event.target.blur();
      return;
    }
    // What the browser does with a key at that place comes first: pressing what has the focus, scrolling a part of the page.
    if (PRESSING.has(event.key) && event.target.closest?.("a, button, summary, input")) return;
    if (SCROLLING.has(event.key) && event.target.matches?.("[role='region'], .panel-body, pre")) return;
    const single = event.key.length === 1;
    if (single && !enabled()) return;
    const typed = before ? `${before} ${event.key}` : event.key;
    before = "";
    // The view's own come before those of every page.
    for (const { list } of [...groups].reverse()) {
      const found = list.find(([names]) => names.includes(typed));
      if (found) {
        if (found[2](event) !== false) event.preventDefault();
        return;
      }
    }
    if (groups.some(({ list }) => list.some(([names]) => names.some((name) => name.startsWith(`${typed} `))))) before = typed;
  });
}

/** Shows all keys that count now. */
export function help() {
  if (document.querySelector("dialog.keys")) return;
  const lists = groups.map(({ title, list }) => h("section", {},
    h("h3", {}, title),
    h("dl", {}, list.map(([names, what]) => h("div", {},
      h("dt", {}, names.map((name) => h("kbd", {}, spell(name)))), h("dd", {}, what))))));
  const toggle = h("input", {
    id: "keys-on", type: "checkbox", checked: enabled(),
    onchange: (event) => localStorage.setItem(OFF, event.target.checked ? "on" : "off"),
  });
  const dialog = h("dialog", { class: "keys", "aria-labelledby": "keys-title", onclose: () => dialog.remove() },
    h("h2", { id: "keys-title" }, "Keys"),
    h("div", { class: "columns" }, lists),
    h("form", { method: "dialog", class: "buttons" },
      h("label", { for: "keys-on" }, toggle, " Single letters are keys"),
      h("button", { class: "main", type: "submit" }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}

const SPELT = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", " ": "Space" };

function spell(name) {
  return SPELT[name] ?? name;
}
