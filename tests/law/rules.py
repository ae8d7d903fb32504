"""Which rules of the law a set of events puts to use: cases in which leaving the rule out would show in some row.

The numbers are those of ARCHITECTURE.md.
"""
from collections import defaultdict

from model import CLOSED, IDENTITY, LINEAGE, RUN_NAMES, RUN_PIECE, STEP_NAMES, STEP_PIECE, clean, number, reaches, variable

RULES = (
    "1 starts that differ", "1 inputs that differ", "1 closing events that differ", "1 open statuses that differ",
    "1 open data that differ", "1 a null of the closing event wins over open data", "1 a re-run said by one event only",
    "2 a greater execution is shown", "3 a rewind reaches an execution", "3 a re-run reaches an execution",
    "3 a step without a number is not reached", "3 a fact reaches every step", "4 a name is filled in",
    "4 names that differ", "4 a name falls back to a lower run", "4 lineage of a lower run", "5 several runs",
    "5 the input of the least run is shown", "6 an end before its start", "6 an instance that is named by another",
    "6 an instance that names itself", "7 a run is removed", "7 an execution is removed", "7 a fact is removed",
    "7 removed for ever", "7 a variable is removed", "8 switches at one time that differ", "9 revisions that differ",
    "9 a run wins over a greater revision", "9 a removal wins over a value", "9 a value wins over a removal",
    "9 events of one revision that differ", "9 one name in two scopes",
)


def differ(values):
    return len({v for v in values if v is not None}) > 1


def of_rows(groups, names, piece, hit):
    """Rules 1 and 4 within one run or execution."""
    for events in groups.values():
        get = lambda column, events=events: [e.get(column) for e in events]
        closing = [e for e in events if e["phase"] == CLOSED]
        opened = [e for e in events if e["phase"] != CLOSED]
        hit["1 starts that differ"] += differ(get("start"))
        hit["1 inputs that differ"] += differ(get("input"))
        hit["1 closing events that differ"] += len({tuple(e.get(c) for c in piece) for e in closing}) > 1
        hit["1 open statuses that differ"] += not closing and len({e.get("status") for e in opened}) > 1
        hit["4 a name is filled in"] += any(None in get(c) and set(get(c)) != {None} for c in names)
        hit["4 names that differ"] += any(differ(get(c)) for c in names)
        if "data" in piece:
            data = [e.get("data") for e in opened]
            hit["1 open data that differ"] += not closing and differ(data)
            hit["1 a null of the closing event wins over open data"] += (
                bool(closing) and all(e.get("data") is None for e in closing) and any(d is not None for d in data))
            hit["1 a re-run said by one event only"] += len({bool(e.get("rerun")) for e in events}) > 1


def of_facts(mine, dead, runs, execs, hit):
    """Rules 2, 3 and 7 within one flow."""
    said = {(e.get("n"), e["before"]) for e in mine if e["kind"] == "rewind"}
    alive = lambda fact: fact[1] > dead
    again = [(number(j), s) for (j, s), events in execs.items() if s >= dead and any(e.get("rerun") for e in events)]
    implied = {(j, r) for j, s in again if j is not None for r in runs if dead <= r <= s}
    for fact in filter(alive, said | implied):
        for step, execution in execs:
            if execution < dead:
                continue
            reached = reaches(fact, step, execution)
            hit["3 a rewind reaches an execution"] += reached and fact in said
            hit["3 a re-run reaches an execution"] += reached and fact in implied and fact not in said
            hit["3 a fact reaches every step"] += reached and fact[0] is None and number(step) is None
            hit["3 a step without a number is not reached"] += (
                fact[0] is not None and number(step) is None and execution < fact[1])
    hit["7 a fact is removed"] += sum(not alive(fact) for fact in said)
    hit["7 a run is removed"] += sum(r < dead for r in runs)
    hit["7 an execution is removed"] += sum(s < dead for _, s in execs)
    hit["7 removed for ever"] += dead == float("inf") and bool(runs or execs)


def of_variables(mine, dead, hit):
    """Rules 7 and 9 within one flow."""
    said, scopes = defaultdict(set), defaultdict(set)
    for e in mine:
        if e["kind"] == "variable":
            hit["7 a variable is removed"] += e["run"] < dead
            if e["run"] >= dead:
                said[e.get("scope") or "", e["name"]].add(variable(e))
                scopes[e["name"]].add(e.get("scope") or "")
    for rows in said.values():
        last = max(row[:3] for row in rows)
        hit["9 revisions that differ"] += len({row[:2] for row in rows}) > 1
        hit["9 a run wins over a greater revision"] += any(row[1] > last[1] for row in rows)
        hit["9 a removal wins over a value"] += last[2] and any(not row[2] for row in rows)
        hit["9 a value wins over a removal"] += not last[2] and any(row[2] for row in rows)
        hit["9 events of one revision that differ"] += sum(row[:3] == last for row in rows) > 1
    hit["9 one name in two scopes"] += sum(len(found) > 1 for found in scopes.values())


def of_runs(runs, shown, hit):
    """Rules 4 and 5 over the living runs of one flow."""
    hit["5 several runs"] += len(runs) > 1
    if len(runs) < 2:
        return
    top = runs[max(runs)]
    known = lambda events, column: any(e.get(column) is not None for e in events)
    hit["4 a name falls back to a lower run"] += any(not known(top, c) and shown[c] is not None for c in IDENTITY)
    hit["4 lineage of a lower run"] += any(shown[c] is not None and shown[c] not in [e.get(c) for e in top]
                                          for c in LINEAGE)
    hit["5 the input of the least run is shown"] += shown["flowinput"] != shown["input"]


def exercised(events, tables):
    """How often each rule was put to use by these events, of which `tables` is what model.define() says."""
    hit = dict.fromkeys(RULES, 0)
    events = [clean(e) for e in events]
    for flow in {e["flow"] for e in events if e["kind"] != "app"}:
        mine = [e for e in events if e.get("flow") == flow and e["kind"] != "app"]
        dead = tables["ft_tombstone"].get(flow, float("-inf"))
        runs, execs = defaultdict(list), defaultdict(list)
        for e in mine:
            if e["kind"] == "flow":
                runs[e["run"]].append(e)
            if e["kind"] == "step":
                execs[e["step"], e["execution"]].append(e)
        of_rows({r: v for r, v in runs.items() if r >= dead}, RUN_NAMES, RUN_PIECE, hit)
        of_rows({k: v for k, v in execs.items() if k[1] >= dead}, STEP_NAMES, STEP_PIECE, hit)
        of_facts(mine, dead, runs, execs, hit)
        of_variables(mine, dead, hit)
        if flow in tables["flowstate"]:
            of_runs({r: v for r, v in runs.items() if r >= dead}, tables["flowstate"][flow], hit)
    for flow, step, execution in tables["ft_superseded_step"]:
        shown = tables["steps"].get((flow, step))
        hit["2 a greater execution is shown"] += shown is not None and shown["execution"] > execution
    for flow, row in tables["flowstate"].items():
        hit["6 an end before its start"] += (row["executiontime"] or "").startswith("-")
        hit["6 an instance that is named by another"] += row["reruncount"] > 0
        hit["6 an instance that names itself"] += row["original"] == flow
    apps = defaultdict(set)
    for e in events:
        if e["kind"] == "app":
            apps[e.get("user") or "", e.get("app") or "", e.get("at")].add((e["on"], e.get("version")))
    hit["8 switches at one time that differ"] += sum(len(said) > 1 for said in apps.values())
    return hit
