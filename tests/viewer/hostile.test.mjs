// What flows carry stays text, and breaks neither the page nor its layout.

import assert from "node:assert/strict";
import { test } from "node:test";
import { BASE, browser, close, tooWide, violations } from "./browser.mjs";
import { HOSTILE } from "./names.mjs";

const open = browser();

const harmless = async (page) => {
  assert.equal(await page.evaluate(() => window.harmed), undefined);
  assert.equal(await page.locator("main img, main script, main style, main iframe, main b > b").count(), 0);
  const links = await page.locator("a[href]").evaluateAll((all) => all.map((link) => link.protocol));
  assert.deepEqual([...new Set(links)].filter((protocol) => protocol !== "http:"), []);
};

const VIEWS = [
  [`/flows?id=${HOSTILE}`, "td.name a"],
  ...[0, 1, 2, 3, 4].map((step) => [`/flows/${HOSTILE}?step=${step}`, ".panel .payload"]),
  [`/flows/${HOSTILE}?view=compact`, ".row"],
  [`/flows/${HOSTILE}?view=raw`, ".row"],
  [`/compare/${HOSTILE}/${HOSTILE}?all=true`, ".pair"],
  ["/stats?since=-30d&app=%3Cimg%20src%3Dx%20onerror%3D%22window.harmed%20%3D%201%22%3E", ".lead, table"],
  ["/flows?flow=%3Cscript%3Ewindow.harmed%3D1%3C%2Fscript%3E", ".guilty, .empty"],
];

for (const width of [1440, 360]) {
  test(`no payload runs or widens a page at ${width} px`, async () => {
    const page = await open("/flows", { width });
    for (const [path, drawn] of VIEWS) {
      await page.goto(BASE + path);
      await page.locator(drawn).first().waitFor();
      await harmless(page);
      assert.deepEqual(await tooWide(page), []);
    }
    await close(page);
  });
}

test("markup is shown as it was written", async () => {
  const page = await open(`/flows/${HOSTILE}?step=0`);
  await page.locator(".payload", { hasText: "Input" }).getByText("<script>window.harmed = 1</script>").first().waitFor();
  assert.deepEqual(await violations(page), []);
  await harmless(page);
  await close(page);
});

test("the page's policy allows its own files and nothing else", async () => {
  for (const path of ["/", "/flows/x", "/viewer/main.js", "/operations/audit"]) {
    const answer = await fetch(BASE + path);
    assert.equal(answer.status, 200);
    const policy = Object.fromEntries(answer.headers.get("content-security-policy").split(";").map((part) => {
      const [name, ...values] = part.trim().split(" ");
      return [name, values.join(" ")];
    }));
    assert.equal(policy["default-src"], "'none'");
    assert.equal(policy["script-src"], "'self'");
    assert.equal(policy["style-src"], "'self'");
    assert.equal(policy["frame-ancestors"], "'none'");
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  }
});

test("the policy holds: what is written into the page by hand does not run", async () => {
  const page = await open("/flows", { expected: (text) => text.includes("Content Security Policy") });
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.harmed = 1";
    document.body.append(script);
    document.body.insertAdjacentHTML("beforeend", "<i onclick='window.harmed = 1' id='trap'>x</i>");
    document.getElementById("trap").click();
  });
  assert.equal(await page.evaluate(() => window.harmed), undefined);
  await close(page);
});
