// Running again: offered where it can be asked for, done only when it is confirmed, and noted.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, browser, close, until } from "./browser.mjs";
import { FAILING, LONG } from "./names.mjs";

const open = browser();
const notes = async () => (await api("operations/audit")).notes.filter(({ action, object }) => action === "rerun" && object === FAILING);

test("a run is asked for again from the chosen step, once that is confirmed", async () => {
  const before = (await notes()).length;
  const page = await open(`/flows/${FAILING}`);
  await page.locator(".failure a").click();
  await page.waitForURL("**step=**");
  const step = new URL(page.url()).searchParams.get("step");
  await page.getByRole("button", { name: "Run again" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  assert.equal((await notes()).length, before);
  await page.getByRole("button", { name: "Run again" }).click();
  await dialog.getByLabel(`at step ${step}`).check();
  await dialog.getByRole("button", { name: "Run it again" }).click();
  await page.getByText("Asked kafka:flow.rerun").waitFor();
  const now = await until("a note", async () => ((found) => found.length > before && found)(await notes()));
  assert.equal(String(now[0].detail.from), step);
  await close(page);
});

test("a run whose app can't be asked offers nothing", async () => {
  const page = await open(`/flows/${LONG}`);
  await page.getByRole("button", { name: "Export" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Run again" }).count(), 0);
  await close(page);
});
