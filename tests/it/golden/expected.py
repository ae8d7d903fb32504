#!/usr/bin/env python3
"""What Postgres must hold once the recorded Flogo traffic has gone through: every row, column by column.

Reads  tests/fixtures/flogo/recorded.jsonl
Writes tests/it/golden/expected.json

Written from the facts of Flogo's wire alone, and shares no code with flowtrail. Where a rule would need a choice
(two tasks that ended in one step, say), the script stops instead: the recording has no such case.

    {"flowstate": [row, ...], "steps": [row, ...]}      in the order of first mention

Times are UTC with six digits, `2026-11-21T20:28:27.494225`. Byte columns are the text they hold, but for
`stepdata`, which is {"length", "sha256"}.
"""
import hashlib
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
RECORDING = HERE.parent.parent / "fixtures" / "flogo" / "recorded.jsonl"
TASK_ENDS = {30: "Waiting", 40: "Completed", 100: "Failed", 110: "Cancelled"}
TASK_OPEN = {0: "Created", 10: "Scheduled", 20: "Started"}


def go(value):
    """A value as Go's encoder writes it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for plain in "<>&\u2028\u2029":
        text = text.replace(plain, "\\u%04x" % ord(plain))
    return text.encode()


def micros(time):
    """`2026-11-21T20:28:27.494224991Z` -> µs since that midnight, half to even; and the day."""
    assert time.endswith("Z") and time[10] == "T", time
    day, clock = time[:10], time[11:-1]
    whole, _, fraction = clock.partition(".")
    hours, minutes, seconds = (int(part) for part in whole.split(":"))
    nanos = int(fraction.ljust(9, "0"))
    micros, rest = divmod(nanos, 1000)
    if rest > 500 or (rest == 500 and micros % 2):
        micros += 1
    return day, ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros


def shown(time):
    """The same as the database shows it."""
    day, us = micros(time)
    seconds, us = divmod(us, 1_000_000)
    assert seconds < 86_400, "rounding reaches the next day: not in this recording"
    return "%sT%02d:%02d:%02d.%06d" % (day, seconds // 3600, seconds // 60 % 60, seconds % 60, us)


def execution_time(start, end):
    """Milliseconds with three decimals, from the stored µs."""
    (day, begin), (other, finish) = micros(start), micros(end)
    assert day == other and finish >= begin
    return "%d.%03d" % divmod(finish - begin, 1000)


def flow_row(start, end):
    """One row of flowstate from the two requests of a flow."""
    for field in ("start_time", "user_id", "app_name", "app_version", "host_id", "flow_name", "flow_inputs",
                  "original_instance_id"):
        assert start[field] == end[field], field
    assert start["flow_stats"] == "Created" and end["original_instance_id"] == ""
    return {
        "flowinstanceid": end["flow_instance_id"],
        "userid": end["user_id"],
        "appname": end["app_name"],
        "appversion": end["app_version"],
        "flowname": end["flow_name"],
        "hostid": end["host_id"],
        "starttime": shown(end["start_time"]),
        "endtime": shown(end["end_time"]),
        "executiontime": execution_time(end["start_time"], end["end_time"]),
        "status": end["flow_stats"],
        "parentflowinstanceid": None,
        "parentflowname": None,
        "misc": None,
        "rerunofflowinstanceid": None,
        "flowinput": go(start["flow_inputs"] or {}).decode(),
        "flowoutput": go(end["flow_outputs"]).decode(),
        "reruncount": 0,
    }


def step_row(step, length):
    """One row of steps from its one request."""
    data = go(step)
    assert len(data) == length, "the body cannot be brought back to its bytes"
    flow, change = changed_flow(step["flowChanges"])
    task, status = changed_task(change)
    return {
        "flowinstanceid": step["flowId"],
        "stepid": str(step["id"]),
        "taskname": task,
        "status": status,
        "starttime": shown(step["starttime"]),
        "endtime": shown(step["endtime"]),
        "stepdata": {"length": length, "sha256": hashlib.sha256(data).hexdigest()},
        "flowname": change and change["flowURI"].split(":")[-1],
        "subflowid": flow,
        "misc": None,
        "rerun": step["rerun"],
        "parentstepid": None,
    }


def changed_flow(changes):
    """The flow a step belongs to: where it starts a subflow, the caller's."""
    if not changes:
        return None, None
    if len(changes) == 1:
        return next(iter(changes.items()))
    caller, callee = sorted(changes, key=int)
    assert changes[callee]["newFlow"], "a step in two flows that starts none: not in this recording"
    return caller, changes[caller]


def changed_task(change):
    """The task that ended, or the one that the step is about."""
    if change is None:
        return None, "Unknown"
    tasks = change["tasks"]
    ended = [name for name in tasks if tasks[name]["status"] in TASK_ENDS]
    if ended:
        (name,) = ended
        return name, TASK_ENDS[tasks[name]["status"]]
    return change["taskId"], TASK_OPEN[tasks[change["taskId"]]["status"]]


def main():
    starts, ends, steps, order = {}, {}, [], []
    for line in RECORDING.read_text().splitlines():
        request = json.loads(line)
        assert request["method"] == "POST"
        body, length = request["body"], int(request["headers"]["Content-Length"])
        assert len(go(body)) == length
        kind = request["path"].rsplit("/", 1)[1]
        if kind == "steps":
            steps.append(step_row(body, length))
        else:
            flows = {"start": starts, "end": ends}[kind]
            assert body["flow_instance_id"] not in flows
            flows[body["flow_instance_id"]] = body
            if kind == "start":
                order.append(body["flow_instance_id"])
    assert set(starts) == set(ends) == set(order)
    assert len({(row["flowinstanceid"], row["stepid"]) for row in steps}) == len(steps) == 91
    rows = {"flowstate": [flow_row(starts[flow], ends[flow]) for flow in order], "steps": steps}
    assert len(rows["flowstate"]) == 16
    text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    (HERE / "expected.json").write_text(text)


if __name__ == "__main__":
    main()
