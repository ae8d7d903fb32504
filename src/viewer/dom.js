// Builds what is on the page. Text stays text: nothing here, or anywhere else in the viewer, reads a string as markup,
// so what flows carry can't become any.

const SVG = "http://www.w3.org/2000/svg";
const VECTORS = new Set(["svg", "g", "path", "rect", "line", "circle", "polyline"]);
const PROPERTIES = new Set(["value", "checked", "disabled", "open", "indeterminate", "hidden"]);

/**
 * An element: `h("a", {href: "/flows", onclick: go}, "text", element, [more])`.
 * `on…` are listeners, `style` an object; null, undefined and false leave an attribute or a child out.
 */
export function h(tag, attributes = {}, ...children) {
  const element = VECTORS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, to] of Object.entries(value)) element.style.setProperty(key, to);
    else if (PROPERTIES.has(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

/** Adds children: elements, text, numbers, lists of these. */
export function append(parent, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) parent.append(child);
  }
  return parent;
}

/** Puts these in the place of all children. */
export function fill(parent, ...children) {
  parent.replaceChildren();
  return append(parent, ...children);
}

const REACHED = "a, button, input, select, summary";

/** Like `fill`, where somebody may be at work: the focus stays at the same place, and what is half written stays written. */
export function redraw(element, ...children) {
  const before = document.activeElement;
  const at = [...element.querySelectorAll(REACHED)].indexOf(before);
  fill(element, ...children);
  const now = at >= 0 && [...element.querySelectorAll(REACHED)][at];
  if (!now) return;
  if (/^(text|search|number)$/.test(before.type) && now.id === before.id) now.value = before.value;
  now.focus({ preventScroll: true });
}

/** Says something to those who hear the page. */
export function announce(text) {
  document.getElementById("said").textContent = text;
}

/** Shows a sentence at the foot of the page for some seconds. */
export function toast(text) {
  const element = document.getElementById("toast");
  element.textContent = text;
  element.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => (element.hidden = true), 4000);
}

/** Copies text; true if it went. Where the page is not served securely the browser has the old way only. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "off-screen", value: text });
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (!copied) return toast("The browser does not allow copying here");
  }
  toast("Copied");
}

/** A button that copies what `text` gives when it is pressed. */
export function copyButton(text, label) {
  const press = () => copy(typeof text === "function" ? text() : text);
  return h("button", { class: "quiet", type: "button", title: label, "aria-label": label, onclick: press }, icon("copy"));
}

const ICONS = {
  completed: "M3 8.5 6.5 12 13 4.5",
  failed: "M4 4l8 8M12 4l-8 8",
  running: "M5 3.5v9l7.5-4.5z",
  waiting: "M8 3.5V8l3 2.5M8 1.5a6.5 6.5 0 1 1-.01 0z",
  cancelled: "M8 1.5a6.5 6.5 0 1 1-.01 0zM3.5 12.5l9-9",
  other: "M8 2l6 6-6 6-6-6z",
  copy: "M5.5 5.5h8v8h-8zM10.5 3v-.5h-8v8H3",
  open: "M6 3l5 5-5 5",
  sun: "M8 5a3 3 0 1 1-.01 0zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  again: "M13 8a5 5 0 1 1-1.6-3.7M13 1.5V5H9.5",
  close: "M4 4l8 8M12 4l-8 8",
  down: "M8 2v8M4.5 7 8 10.5 11.5 7M3 13.5h10",
};

/** A small drawing that follows the colour of the text around it. */
export function icon(name) {
  const drawing = h("path", { d: ICONS[name] ?? ICONS.other });
  return h("svg", { class: `icon icon-${name}`, viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" }, drawing);
}

/** A state by shape, colour and word; the word is the runtime's own where it has one. */
export function badge(state, status, short) {
  const word = status || state || "unknown";
  const classes = `state state-${state ?? "other"}${short ? " short" : ""}`;
  return h("span", { class: classes, title: short ? word : null }, icon(state ?? "other"), h("span", { class: "word" }, word));
}

/** A pair of term and description for `<dl>`; nothing where there is nothing to say. */
export function fact(term, ...value) {
  const said = value.flat().filter((part) => part !== null && part !== undefined && part !== "" && part !== false);
  const whole = said.map((part) => (part instanceof Node ? part.textContent : part)).join("");
  return said.length ? h("div", {}, h("dt", {}, term), h("dd", { title: whole.length > 60 && whole }, said)) : null;
}

/** The heading of a column that needs none for the eye. */
export function unseen(text) {
  return h("span", { class: "off-screen" }, text);
}

/** A table: columns are `[heading, class, cell of an item]`. `row` gives more attributes of a row. */
export function table(caption, columns, items, row = () => ({})) {
  const head = columns.map(([heading, kind]) => h("th", { scope: "col", class: kind }, heading));
  const lines = items.map((item) =>
    h("tr", row(item), columns.map(([, kind, cell]) => h("td", { class: kind }, cell(item)))));
  return h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: "off-screen" }, caption), h("thead", {}, h("tr", {}, head)), h("tbody", {}, lines)));
}
