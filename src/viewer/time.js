// Times and durations as people read them. The zone is a choice of who looks, kept in the browser.

import { h } from "./dom.js";

const KEY = "flowtrail.zone";

/** `local` or `utc`. */
export function zone() {
  return localStorage.getItem(KEY) === "utc" ? "utc" : "local";
}

/** Changes the zone of every time on the page. */
export function switchZone() {
  localStorage.setItem(KEY, zone() === "utc" ? "local" : "utc");
  for (const element of document.querySelectorAll("time[datetime]")) say(element);
}

function parts(date) {
  const utc = zone() === "utc";
  const two = (number, width = 2) => String(number).padStart(width, "0");
  const get = (what) => date[`get${utc ? "UTC" : ""}${what}`]();
  return {
    day: `${get("FullYear")}-${two(get("Month") + 1)}-${two(get("Date"))}`,
    second: `${two(get("Hours"))}:${two(get("Minutes"))}:${two(get("Seconds"))}`,
    milli: two(get("Milliseconds"), 3),
    name: utc ? "UTC" : "",
  };
}

/** A time as text; `how` is `full`, `second` or `clock`. */
export function format(iso, how = "full") {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return String(iso);
  const { day, second, milli, name } = parts(date);
  if (how === "clock") return `${second}${name && ` ${name}`}`;
  return `${day} ${second}${how === "full" ? `.${milli}` : ""}${name && ` ${name}`}`;
}

function say(element) {
  element.textContent = format(element.dateTime, element.dataset.how);
}

/** A `<time>` that follows the zone, exact in its title; a dash where there is none. */
export function time(iso, how = "full") {
  if (!iso) return h("span", { class: "none" }, "–");
  const element = h("time", { datetime: iso, "data-how": how, title: iso });
  say(element);
  return element;
}

/** Milliseconds as text: `0.3 ms`, `12 ms`, `1.24 s`, `2 min 3 s`, `3 d 4 h`. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 0) return `−${duration(-ms)}`;
  if (ms < 10) return `${Number(ms.toFixed(ms < 1 ? 2 : 1))} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_995) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  const [day, hour, minute] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (day) return `${day} d ${hour} h`;
  if (hour) return `${hour} h ${minute} min`;
  return `${minute} min ${seconds % 60} s`;
}

/** Bytes as text. */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** A number with spaces between thousands. */
export function number(value) {
  return value === null || value === undefined ? "–" : String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}
