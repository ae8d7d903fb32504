// Begins: which address is which view, and what is the same on every page.

import { fill, icon, toast } from "./dom.js";
import { freshness } from "./freshness.js";
import { help, keys, listen } from "./keys.js";
import { me } from "./me.js";
import { again, begin, go } from "./router.js";
import { switchZone, zone } from "./time.js";
import { compare } from "./compare.js";
import { grid } from "./grid.js";
import { list } from "./list.js";
import { operations } from "./operations.js";
import { run } from "./run.js";
import { stats } from "./stats.js";
import { tail } from "./tail.js";

const VIEWS = [
  [/^\/flows\/?$/, "Flows", list],
  [/^\/flows\/([^/]+)$/, "Run", run],
  [/^\/compare(?:\/([^/]+)\/([^/]+))?$/, "Compare", compare],
  [/^\/grid$/, "Grid", grid],
  [/^\/stats$/, "Stats", stats],
  [/^\/tail$/, "Live", tail],
  [/^\/operations(?:\/([a-z]+))?$/, "Operations", operations],
];

const THEME = "flowtrail.theme";

function themes() {
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const current = () => localStorage.getItem(THEME) ?? (dark.matches ? "dark" : "light");
  const say = () => {
    document.documentElement.dataset.theme = current();
    const other = current() === "dark" ? "light" : "dark";
    button.title = `Change to ${other} (d)`;
    button.setAttribute("aria-label", `Change to ${other}`);
    dispatchEvent(new Event("themechange"));
  };
  const change = () => {
    localStorage.setItem(THEME, current() === "dark" ? "light" : "dark");
    say();
  };
  fill(button, icon("sun"));
  button.addEventListener("click", change);
  dark.addEventListener("change", say);
  say();
  return change;
}

function zones() {
  const button = document.getElementById("zone");
  const say = () => {
    button.textContent = zone() === "utc" ? "UTC" : "Local";
    button.title = zone() === "utc" ? "Times are UTC; change to local (u)" : "Times are local; change to UTC (u)";
    button.setAttribute("aria-label", `${button.textContent} times; change`);
  };
  const change = () => {
    switchZone();
    say();
  };
  button.addEventListener("click", change);
  say();
  return change;
}

const theme = themes();
const times = zones();
document.getElementById("help").addEventListener("click", help);
listen();
keys("Everywhere", [
  [["?"], "Show the keys", help],
  [["g f"], "Flows", () => go("/flows")],
  [["g g"], "Grid", () => go("/grid")],
  [["g s"], "Stats", () => go("/stats")],
  [["g l"], "Live", () => go("/tail")],
  [["g o"], "Operations", () => go("/operations")],
  [["r"], "Read again", again],
  [["u"], "Local time or UTC", times],
  [["d"], "Dark or light", theme],
]);
// What no view has caught is said all the same; what was called off is no trouble.
addEventListener("unhandledrejection", ({ reason }) => reason?.name !== "AbortError" && toast(reason?.message ?? String(reason)));
await me();
freshness(document.getElementById("freshness"));
begin(document.getElementById("main"), VIEWS);
