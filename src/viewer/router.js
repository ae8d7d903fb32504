// What is shown follows from the address alone, so every view can be linked to and the browser's keys work.

let routes = [];
let place;
let shown = { view: null, key: null, stop: null, page: null };

/**
 * Begins. `views` are `[pattern, title, view]`; a view is `view(place, {parts, query, signal})`, and may give
 * `{update(query)}`, which is called while only the query changes.
 */
export function begin(element, views) {
  place = element;
  routes = views;
  addEventListener("popstate", show);
  document.addEventListener("click", follow);
  show();
}

/** The query of the address, as an object. */
export function query() {
  return Object.fromEntries(new URLSearchParams(location.search));
}

/** An address with this query; empty values are left out. */
export function address(path, values = {}) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return path + (text && `?${text}`);
}

/** Goes there; with `replace` without a way back. */
export function go(to, replace = false) {
  history[replace ? "replaceState" : "pushState"](null, "", to);
  show();
}

/** The same page with other values in its query. */
export function change(values, replace = false) {
  go(address(location.pathname, { ...query(), ...values }), replace);
}

/** Draws the page again from the beginning. */
export function again() {
  shown.key = null;
  show();
}

function follow(event) {
  const link = event.target.closest?.("a[href]");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || event.defaultPrevented || link.hasAttribute("download") || link.target) return;
  if (link.origin !== location.origin || link.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  go(link.href);
}

function show() {
  const found = routes.map(([pattern, title, view]) => ({ match: location.pathname.match(pattern), title, view }))
    .find((route) => route.match);
  if (!found) return go("/flows", true);
  const values = query();
  if (shown.key === location.pathname && shown.page?.update) {
    shown.page.update(values);
    return;
  }
  const moved = shown.key !== null && shown.key !== location.pathname;
  shown.stop?.abort();
  const stop = new AbortController();
  shown = { key: location.pathname, stop, page: null };
  document.title = `${found.title} · flowtrail`;
  mark();
  place.replaceChildren();
  place.className = "";
  const parts = found.match.slice(1).map(plain);
  shown.page = found.view(place, { parts, query: values, signal: stop.signal });
  // Whoever hears the page, or uses keys, goes on at the beginning of what is new.
  if (moved) {
    scrollTo(0, 0);
    place.focus({ preventScroll: true });
  }
}

/** A part of a path without its escapes; as it is where they are none. */
function plain(part = "") {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function mark() {
  const first = location.pathname.split("/")[1] || "flows";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.pathname === `/${first}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}
