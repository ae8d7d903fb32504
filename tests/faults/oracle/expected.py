"""What the tables have to hold of the records of a topic: `python3 expected.py DUMP EXPECTED TOPIC LIMIT`.

DUMP holds the records as they are on the topic (see `records`), EXPECTED gets for each table key -> row, both as COPY
writes them. LIMIT is the longest payload field in bytes. The merge law is tests/law/model.py, applied to a few flows at a
time; what refers to other flows, the number of re-runs, is counted over all of them. Prints what was found, as JSON.
"""
import hashlib
import json
import marshal
import os
import pathlib
import struct
import sys
import zlib
from collections import Counter, defaultdict

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "law"))
import model                                            # noqa: E402
from oracle import columns, own, own_of_shown, shown, STEP as STEP_COLUMNS, VARIABLE as VARIABLE_COLUMNS  # noqa: E402
from tables import TABLES, line                         # noqa: E402
from wire import Rejected, begin, decode, varint        # noqa: E402

# A row that holds this is refused by Postgres, by a constraint that the test made; see `mark` in traffic.rs.
MARK = "~refused"
MARKED = {"step": "task", "flow": "app", "app": "version"}
REFUSED = "23514"
HEADER = struct.Struct(">iqqii")
FLOWS_AT_A_TIME = 50
APP = 0x32


def records(path):
    """Partition, offset, time in ms, key and value of each record; big-endian, a length of -1 is null."""
    with open(path, "rb") as file:
        while header := file.read(HEADER.size):
            partition, offset, time, key, value = HEADER.unpack(header)
            yield (partition, offset, None if time < 0 else time, None if key < 0 else file.read(key),
                   None if value < 0 else file.read(value))


def owner(flow, workers):
    return zlib.crc32(flow) % workers


def peek(value):
    """The flow id where it is plain to see: first field of the event, without NUL. It saves the other workers the rest."""
    try:
        at = begin(value)
        if value[at] == APP:
            return None
        _, at = varint(value, at + 1, len(value))
        if value[at] != 0x0a:
            return None
        size, at = varint(value, at + 1, len(value))
        flow = value[at:at + size]
        return flow if size and len(flow) == size and b"\0" not in flow else None
    except (Rejected, IndexError, TypeError):
        return None


def read(path, topic, limit, me, workers):
    """The events of this worker's flows by flow, its apps, and its dead letters."""
    flows, apps, letters = defaultdict(list), [], []
    count = 0
    for partition, offset, time, key, value in records(path):
        count += 1
        flow = peek(value)
        if flow is not None and owner(flow, workers) != me:
            continue

        def letter(reason, sqlstate=None):
            payload_hash = hashlib.sha256(value or b"").digest()
            letters.append((topic, partition, offset, payload_hash, time, key, value, "[]", reason, sqlstate))

        try:
            event, cut = decode(key, value, limit)
        except Rejected as rejected:
            if flow is not None or me == 0:
                letter(str(rejected))
            continue
        flow = event["flow"] if event["kind"] != "app" else None
        if (owner(flow.encode(), workers) if flow is not None else 0) != me:
            continue
        if event.get(MARKED.get(event["kind"])) == MARK:
            letter("refused", REFUSED)
            continue
        if cut:
            letter("oversized")
        if flow is None:
            apps.append(event)
        else:
            flows[flow].append(event)
    return flows, apps, letters, count


def put(rows, table, key, row):
    names = TABLES[table][1]
    rows[table][line(key)] = line(row[name] for name in names)


def settle(rows, originals, events, snapshots):
    """The rows of a few flows; flowstate still lacks its last column."""
    tables = model.define(events)
    for (flow, step), row in tables["steps"].items():
        put(rows, "steps", (flow, step), dict(columns(row, STEP_COLUMNS), execution=row["execution"]))
    for key, row in tables["ft_superseded_step"].items():
        put(rows, "ft_superseded_step", key, columns(row, STEP_COLUMNS))
    several = {flow for flow, _ in tables["ft_run"]}
    for key, row in tables["ft_run"].items():
        put(rows, "ft_run", key, own(row))
    for flow, row in tables["flowstate"].items():
        values = dict(shown(row), misc=None)
        rows["flowstate"][line((flow,))] = line(values[name] for name in TABLES["flowstate"][1][:-1])
        if row["original"] is not None and row["original"] != flow:
            originals[line((row["original"],))] += 1
        if flow in several:
            put(rows, "ft_run", (flow, row["run"]), own_of_shown(row))
    for key in tables["ft_rewind"]:
        put(rows, "ft_rewind", key, {})
    for flow, before in tables["ft_tombstone"].items():
        put(rows, "ft_tombstone", (flow,), {"before": None if before == model.INF else before, "removedat": None})
    for key, row in tables["ft_variable"].items():
        put(rows, "ft_variable", key, columns(row, VARIABLE_COLUMNS))
    for event in snapshots:
        if tables["ft_tombstone"].get(event["flow"]) != model.INF:
            data = bytes(event["data"])
            put(rows, "ft_snapshot", (event["flow"], event.get("step") or "", hashlib.sha256(data).digest()), {"data": data})
    for (user, app), row in tables["appstate"].items():
        values = {"at": row["at"], "persistenceenabled": row["on"], "appversion": row["version"]}
        put(rows, "appstate", (user, app), values)


def work(path, topic, limit, me, workers):
    flows, apps, letters, count = read(path, topic, limit, me, workers)
    rows, originals = {table: {} for table in TABLES}, Counter()
    names = list(flows)
    for at in range(0, len(names), FLOWS_AT_A_TIME):
        mine = [event for name in names[at:at + FLOWS_AT_A_TIME] for event in flows.pop(name)]
        settle(rows, originals, [event for event in mine if event["kind"] != "snapshot"],
               [event for event in mine if event["kind"] == "snapshot"])
    settle(rows, originals, apps, [])
    key_columns = len(TABLES["ft_dead_letter"][0])
    for letter in letters:
        rows["ft_dead_letter"][line(letter[:key_columns])] = line(letter[key_columns:])
    return {"rows": rows, "originals": dict(originals), "count": count, "reasons": dict(Counter(x[8] for x in letters))}


def main(dump, to, topic, limit):
    workers = min(os.cpu_count() or 1, 4)
    parts = []
    for me in range(workers):
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.close(reading)
            try:
                answer = marshal.dumps(work(dump, topic, int(limit), me, workers))
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(answer)
            os._exit(0)
        os.close(writing)
        parts.append(reading)
    answers = []
    for reading in parts:
        with os.fdopen(reading, "rb") as pipe:
            answers.append(pipe.read())
    if not all(answers):
        sys.exit("a worker failed")
    rows, originals, reasons, count = {table: {} for table in TABLES}, Counter(), Counter(), 0
    for answer in map(marshal.loads, answers):
        count = answer["count"]
        originals.update(answer["originals"])
        reasons.update(answer["reasons"])
        for table, some in answer["rows"].items():
            twice = rows[table].keys() & some.keys()
            assert not twice, (table, twice)
            rows[table].update(some)
    flowstate = rows["flowstate"]
    for flow in flowstate:
        flowstate[flow] += "\t" + str(originals[flow])
    with open(to, "wb") as file:
        marshal.dump(rows, file)
    print(json.dumps({"records": count, "rows": {table: len(some) for table, some in rows.items()}, "dead_letters": reasons}))


if __name__ == "__main__":
    main(*sys.argv[1:])
