// What is stored beside the recorded runs: payloads that would like to be markup, a run of very many steps, and one that
// called another.
// Prints events as proto3 JSON, one a line, for `flowtrail publish --from json -`.

import { CHILD, HOSTILE, LONG, PARENT } from "./names.mjs";

const BEGAN = Date.parse("2026-11-21T21:00:00Z");

const at = (ms) => new Date(BEGAN + ms).toISOString();
const payload = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64");
const print = (event) => console.log(JSON.stringify(event));

function flow(id, more) {
  print({ flow: { flowInstanceId: id, run: "1", phase: "PHASE_CLOSED", statusWord: "Completed", appName: "viewer", appVersion: "1", hostId: "h", userId: "u", ...more } });
}

function step(id, number, more) {
  print({ step: { flowInstanceId: id, stepId: String(number), execution: "1", phase: "PHASE_CLOSED", statusWord: "Completed", ...more } });
}

const markup = "<img src=x onerror=\"window.harmed = 1\"><script>window.harmed = 1</script>\"'></style></textarea>";
const wide = "w".repeat(3000);
const turned = "\u202e\u2066evil\u2069 \u200b";
const deep = (levels) => JSON.parse(`${"[".repeat(levels)}"bottom"${"]".repeat(levels)}`);
const texts = {
  "markup": markup,
  "object": { [markup]: markup, "__proto__x": { constructor: markup }, wide, turned, href: "javascript:window.harmed=1" },
  "deep": deep(100),
  "many": Array.from({ length: 5000 }, (_, n) => ({ n, text: markup })),
  "bytes": null,
};

flow(HOSTILE, {
  flowName: markup, appName: markup, hostId: wide, userId: turned, appVersion: "\"><b>1", startedAt: at(0), endedAt: at(60),
  input: payload(texts.object), output: payload(markup), statusWord: markup.slice(0, 60),
});
Object.entries(texts).forEach(([name, value], number) => {
  const bytes = value === null ? Buffer.from([0xff, 0xfe, 0, 1, 2]).toString("base64") : payload(value);
  step(HOSTILE, number, {
    taskName: number === 1 ? wide : `${name} ${markup}`, flowName: markup, startedAt: at(number * 10), endedAt: at(number * 10 + 9),
    input: bytes, output: payload(markup), error: number === 0 ? payload({ code: markup, message: markup + wide }) : undefined,
    statusWord: number === 0 ? "Failed" : "Completed",
  });
});

const COUNT = 10_000;
for (let n = 0; n < COUNT; n += 1) {
  const failed = [4321, 4322, 9999].includes(n);
  // Idle for ten minutes in the middle.
  const begin = n * 20 + (n >= 5000 ? 600_000 : 0);
  step(LONG, n, {
    taskName: `${["Take", "Price", "Charge", "Ship", "Tell"][n % 5]}`, flowName: "long", startedAt: at(begin), endedAt: at(begin + 15 + (n % 7) * 5),
    input: payload({ n }), output: failed ? undefined : payload({ done: n }), error: failed ? payload({ code: "402", message: `no money ${n}` }) : undefined,
    statusWord: failed ? "Failed" : "Completed",
  });
}
flow(LONG, { flowName: "long", startedAt: at(0), endedAt: at(COUNT * 20 + 600_100), statusWord: "Failed", error: payload({ message: "no money 9999" }) });

flow(PARENT, { flowName: "caller", startedAt: at(0), endedAt: at(100) });
flow(CHILD, { flowName: "called", startedAt: at(20), endedAt: at(80), parentFlowInstanceId: PARENT, parentFlowName: "caller" });
for (const [id, number, taskName, from, to] of [[PARENT, 0, "Call", 5, 15], [PARENT, 1, "After", 85, 95], [CHILD, 0, "Inner", 25, 50], [CHILD, 1, "Last", 55, 75]]) {
  step(id, number, { taskName, startedAt: at(from), endedAt: at(to), input: payload({ number }) });
}

for (let n = 0; n < 120; n += 1) {
  const name = `v${String(n).padStart(3, "0")}`;
  print({ variable: { flowInstanceId: PARENT, run: "1", name, type: "string", value: payload(n ? `value ${n}` : markup), revision: "1" } });
}
print({ variable: { flowInstanceId: PARENT, run: "1", name: "v001", type: "string", removed: true, revision: "2" } });
