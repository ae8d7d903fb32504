// The step panel: payloads as trees and raw, search, copy, executions.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, browser, close, until } from "./browser.mjs";
import { AGAIN, HOSTILE, LONG, PARENT } from "./names.mjs";

const open = browser();
const box = (page, title) => page.locator(".payload").filter({ has: page.getByRole("heading", { name: title, exact: true }) });

test("input, output and error stand side by side", async () => {
  const page = await open(`/flows/${LONG}?step=4321`);
  await box(page, "Error").getByText("no money 4321").waitFor();
  const places = await Promise.all(["Input", "Output", "Error"].map((title) => box(page, title).boundingBox()));
  assert.ok(places[0].x < places[1].x && places[1].x < places[2].x);
  assert.ok(places.every(({ y }) => Math.abs(y - places[0].y) < 2));
  await close(page);
});

test("the variables of a run are there, a piece at a time", async () => {
  const page = await open(`/flows/${PARENT}`);
  await page.locator(".panel .tabs").getByRole("link", { name: "Variables" }).click();
  const line = (name) => page.locator(".panel tbody tr").filter({ hasText: name });
  await line("v099").getByText("value 99").waitFor();
  assert.match(await line("v000").textContent(), /<script>window.harmed/);
  await line("v001").getByText("removed").waitFor();
  assert.equal(await page.locator(".panel tbody tr").count(), 100);
  await page.getByRole("button", { name: "More" }).click();
  await line("v119").waitFor();
  assert.equal(await page.locator(".panel tbody tr").count(), 120);
  await close(page);
});

test("a tree becomes raw text and is copied", async () => {
  const page = await open(`/flows/${LONG}?step=4321`, { permissions: ["clipboard-read", "clipboard-write"] });
  const error = box(page, "Error");
  await error.getByRole("button", { name: "Raw" }).click();
  const text = JSON.stringify({ code: "402", message: "no money 4321" }, null, 2);
  assert.equal(await error.locator("pre").textContent(), text);
  await error.getByRole("button", { name: "Copy Error" }).click();
  await page.getByText("Copied").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), text);
  await error.getByRole("button", { name: "Tree" }).click();
  await error.locator(".json-tree").waitFor();
  await close(page);
});

test("search finds what is deep and far down, and goes on to the next", async () => {
  const page = await open(`/flows/${HOSTILE}?step=3`);
  const input = box(page, "Input");
  await input.getByRole("searchbox").fill("4321");
  // The entry of that number, and the number in it.
  await input.getByText("1 of 2").waitFor();
  await input.getByRole("searchbox").press("Enter");
  await input.getByText("2 of 2").waitFor();
  const found = input.locator(".found.now");
  assert.match(await found.textContent(), /n: 4321/);
  await input.getByRole("searchbox").fill("harmed");
  await input.getByText("1 of 500 and more").waitFor();
  await input.getByRole("searchbox").press("Enter");
  await input.getByText("2 of 500 and more").waitFor();
  await input.getByRole("searchbox").press("Shift+Enter");
  await input.getByText("1 of 500 and more").waitFor();
  await input.getByRole("button", { name: "Raw" }).click();
  await input.locator("mark.now").waitFor();
  await close(page);
});

test("a list of thousands is drawn a hundred at a time", async () => {
  const page = await open(`/flows/${HOSTILE}?step=3`);
  const input = box(page, "Input");
  await input.locator("summary").first().waitFor();
  const items = () => input.locator(".json-tree > li > details > ul > li").count();
  assert.equal(await items(), 101);
  await input.getByRole("button", { name: "4900 more" }).click();
  assert.equal(await items(), 201);
  await close(page);
});

test("executions that later ones took the place of can be looked at", async () => {
  const detail = await api(`flows/${AGAIN}`);
  assert.ok(detail.steps.superseded > 0, "the recording has some");
  const { steps } = await api(`flows/${AGAIN}/steps`);
  let again = null;
  for (const { id } of steps) {
    const answer = await api(`flows/${AGAIN}/steps/${id}`);
    if (answer.executions.length > 1) again ??= answer;
  }
  const page = await open(`/flows/${AGAIN}?step=${again.step.id}&tab=executions`);
  const lines = page.locator(".panel tbody tr");
  await until("each of them", async () => await lines.count() === again.executions.length);
  await lines.filter({ hasText: "superseded" }).first().getByRole("link").click();
  await page.waitForURL("**execution=**");
  await page.locator(".panel-head .superseded").waitFor();
  await close(page);
});

test("data is shown as its runtime means it", async () => {
  const page = await open(`/flows/${AGAIN}?step=1&tab=data`);
  await page.locator(".panel tbody tr").first().waitFor();
  const { tasks } = await api(`flows/${AGAIN}/steps/1`);
  assert.equal(await page.locator(".panel tbody tr").count(), tasks.length);
  await box(page, "Data").locator(".json-tree").waitFor();
  await close(page);
});

test("Enter goes to the payloads, arrows to the step beside", async () => {
  const page = await open(`/flows/${LONG}?step=5`);
  await box(page, "Input").waitFor();
  await page.keyboard.press("Enter");
  assert.ok(await page.evaluate(() => document.activeElement.classList.contains("panel-body")));
  await page.getByRole("button", { name: "Next step (j)" }).click();
  await page.waitForURL("**step=6");
  await page.getByRole("button", { name: "Step before (k)" }).click();
  await page.waitForURL("**step=5");
  await page.getByRole("button", { name: "Back to the run" }).click();
  await page.getByRole("heading", { name: "The run" }).waitFor();
  await close(page);
});
