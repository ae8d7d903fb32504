// A payload: as a tree or as it is, to search and to copy. It is drawn as it is opened, so its size costs nothing before.

import { copyButton, fill, h } from "./dom.js";
import { size } from "./time.js";

const AT_ONCE = 100;
const LONG = 300;
const MOST_FOUND = 500;
const OPEN_AT_FIRST = 40;

/** A payload of the API under a heading; null is said to be none. */
export function payload(title, value) {
  if (!value) return h("section", { class: "payload" }, h("h3", {}, title), h("p", { class: "none" }, "none"));
  return new Payload(title, value).element;
}

class Payload {
  constructor(title, value) {
    this.value = value;
    this.isJson = "json" in value;
    this.raw = this.isJson ? JSON.stringify(value.json, null, 2) : value.text ?? value.base64;
    this.tree = this.isJson && typeof value.json === "object" && value.json !== null;
    this.found = [];
    this.body = h("div", { class: "payload-body", tabindex: "0", role: "region", "aria-label": title });
    this.count = h("span", { class: "dim", role: "status" });
    const search = h("input", { type: "search", placeholder: "Search", "aria-label": `Search ${title}`, oninput: (event) => this.search(event.target.value),
      onkeydown: (event) => event.key === "Enter" && this.step(event.shiftKey ? -1 : 1) });
    const toggle = this.isJson && h("button", { class: "quiet", type: "button", onclick: () => this.switch(toggle) }, this.tree ? "Raw" : "Tree");
    if (toggle) toggle.hidden = !this.tree;
    this.element = h("section", { class: "payload" },
      h("div", { class: "payload-head" }, h("h3", {}, title), h("span", { class: "dim" }, size(value.bytes)),
        search, this.count, toggle, copyButton(() => this.raw, `Copy ${title}`)),
      value.truncated ? h("p", { class: "note" }, `Only the beginning of ${size(value.bytes)} is shown.`) : null,
      this.note(), this.body);
    this.draw();
  }

  note() {
    return "base64" in this.value ? h("p", { class: "note" }, "Bytes that are no text, in base64.") : null;
  }

  switch(button) {
    this.tree = !this.tree;
    button.textContent = this.tree ? "Raw" : "Tree";
    this.draw();
    this.search(this.wanted ?? "");
  }

  draw() {
    if (this.tree) {
      const count = { left: OPEN_AT_FIRST };
      fill(this.body, h("ul", { class: "json-tree" }, this.node(null, this.value.json, [], count)));
    } else fill(this.body, h("pre", {}, this.raw));
  }

  /** A value with its name. What it holds is drawn when it is opened; small values are open from the beginning. */
  node(key, value, where, count) {
    const name = key === null ? null : [h("span", { class: "key" }, String(key)), ": "];
    const item = h("li", { "data-path": JSON.stringify(where) });
    if (value === null || typeof value !== "object") return fill(item, name, leaf(value));
    const entries = Array.isArray(value) ? value.map((each, at) => [at, each]) : Object.entries(value);
    const sum = Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`;
    if (!entries.length) return fill(item, name, h("span", { class: "dim" }, sum));
    const inside = h("ul", {});
    const all = () => {
      if (!inside.childElementCount) this.entries(inside, entries, where, 0, count);
    };
    count.left -= entries.length;
    const details = h("details", { ontoggle: () => details.open && all() }, h("summary", {}, name, h("span", { class: "dim" }, sum)), inside);
    if (count.left > 0 || where.length === 0) {
      all();
      details.open = true;
    }
    return fill(item, details);
  }

  entries(list, entries, where, from, count = { left: 0 }) {
    for (const [key, value] of entries.slice(from, from + AT_ONCE)) list.append(this.node(key, value, [...where, key], count));
    const left = entries.length - from - AT_ONCE;
    if (left <= 0) return;
    const more = h("li", {}, h("button", { class: "quiet more", type: "button", onclick: () => {
      more.remove();
      this.entries(list, entries, where, from + AT_ONCE);
    } }, `${left} more`));
    list.append(more);
  }

  search(wanted) {
    this.wanted = wanted;
    for (const mark of this.body.querySelectorAll(".found")) mark.classList.remove("found", "now");
    this.at = -1;
    if (!wanted) {
      this.count.textContent = "";
      if (!this.tree) fill(this.body, h("pre", {}, this.raw));
      return;
    }
    if (this.tree) this.found = find(this.value.json, wanted.toLowerCase());
    else this.markText(wanted);
    this.step(1);
  }

  markText(wanted) {
    const text = this.raw.toLowerCase();
    const parts = [];
    let from = 0;
    for (let at = text.indexOf(wanted.toLowerCase()); at >= 0 && parts.length < 2 * MOST_FOUND; at = text.indexOf(wanted.toLowerCase(), from)) {
      parts.push(this.raw.slice(from, at), h("mark", { class: "found" }, this.raw.slice(at, at + wanted.length)));
      from = at + wanted.length;
    }
    fill(this.body, h("pre", {}, parts, this.raw.slice(from)));
    this.found = [...this.body.querySelectorAll("mark")];
  }

  /** On to the next that was found, or back. */
  step(by) {
    const { length } = this.found;
    this.body.querySelector(".now")?.classList.remove("now");
    if (!length) {
      this.count.textContent = this.wanted ? "none" : "";
      return;
    }
    this.at = (this.at + by + length) % length;
    const element = this.tree ? this.reveal(this.found[this.at]) : this.found[this.at];
    element?.classList.add("found", "now");
    element?.scrollIntoView({ block: "nearest" });
    this.count.textContent = `${this.at + 1} of ${length}${length === MOST_FOUND ? " and more" : ""}`;
  }

  /** Opens what leads to a value, and gives its line. */
  reveal(where) {
    let item = this.body.querySelector("li");
    for (let depth = 1; item && depth <= where.length; depth += 1) {
      const details = item.querySelector(":scope > details");
      details.open = true;
      const inside = details.querySelector(":scope > ul");
      const wanted = JSON.stringify(where.slice(0, depth));
      if (!inside.childElementCount) details.dispatchEvent(new Event("toggle"));
      const here = () => [...inside.children].find((child) => child.dataset.path === wanted);
      while (!here() && inside.querySelector(":scope > li > .more")) inside.querySelector(":scope > li > .more").click();
      item = here();
    }
    return item;
  }
}

/** The places at which a name or a value has these letters. */
function find(root, wanted) {
  const found = [];
  const look = (value, where) => {
    if (found.length >= MOST_FOUND) return;
    const key = where.length ? String(where.at(-1)) : "";
    const plain = value === null || typeof value !== "object";
    if (key.toLowerCase().includes(wanted) || (plain && String(value).toLowerCase().includes(wanted))) found.push(where);
    if (!plain) for (const [name, each] of Object.entries(value)) look(each, [...where, Array.isArray(value) ? Number(name) : name]);
  };
  look(root, []);
  return found;
}

function leaf(value) {
  const kind = value === null ? "null" : typeof value;
  const text = kind === "string" ? JSON.stringify(value) : String(value);
  if (text.length <= LONG) return h("span", { class: `value-${kind}` }, text);
  const span = h("span", { class: `value-${kind}` }, text.slice(0, LONG), "… ");
  const all = h("button", { class: "quiet more", type: "button", onclick: () => fill(span, text) }, `all ${text.length} characters`);
  return [span, all];
}
