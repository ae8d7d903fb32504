// Where the API takes a token, the page asks for one, once, and offers what it may do.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { BASE, browser, close } from "./browser.mjs";
import { FAILING } from "./names.mjs";

const open = browser();
const program = process.env.VIEWER_PROGRAM;
let folder;
let server;
let base;
let token;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "viewer-"));
  const file = join(folder, "tokens.toml");
  const { stdout } = await promisify(execFile)(program, ["token", "add", "ann", "--role", "read", "--user", "lab-user", "--file", file]);
  token = stdout.trim();
  server = spawn(program, ["serve", "--listen", "127.0.0.1:0", "--log-format", "json"],
    { env: { ...process.env, FLOWTRAIL_HTTP__TOKENS_FILE: file }, stdio: ["ignore", "inherit", "pipe"] });
  base = await new Promise((found, failed) => {
    let said = "";
    server.stderr.on("data", (text) => {
      said += text;
      const address = said.match(/"address":"([^"]+)"/);
      if (address) found(`http://${address[1]}`);
    });
    server.on("exit", () => failed(new Error(said)));
  });
});

after(async () => {
  server.kill("SIGTERM");
  await rm(folder, { recursive: true });
});

test("the page asks for a token once, and keeps it for the tab", async () => {
  const page = await open("/flows", { expected: (text) => text.includes("401") || text.includes("403") });
  await page.goto(`${base}/flows?app=history-harness`);
  const dialog = page.getByRole("dialog", { name: "A token, please" });
  await dialog.getByLabel("Token").fill("ft_wrong");
  await dialog.getByRole("button", { name: "Go on" }).click();
  await dialog.getByText("This token is not known").waitFor();
  await dialog.getByLabel("Token").fill(token);
  await dialog.getByRole("button", { name: "Go on" }).click();
  await page.locator("td.name a").first().waitFor();
  assert.equal(await dialog.count(), 0);
  await page.goto(`${base}/flows/${FAILING}`);
  await page.getByRole("button", { name: "Export" }).waitFor();
  // A reader is offered nothing that takes more.
  assert.equal(await page.getByRole("button", { name: "Run again" }).count(), 0);
  await page.locator("#freshness time").waitFor();
  await page.goto(`${base}/operations`);
  await page.getByText("Only who may see everybody's history sees this.").waitFor();
  assert.notEqual(base, BASE);
  await close(page);
});
