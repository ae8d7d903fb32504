#!/usr/bin/env python3
"""Answers each line of events (a JSON array) with what the tables hold of them, by model.py's definition.

One JSON object a line: "rules", which rule was put to use how often, and "tables": table -> key (parts joined by "/") -> columns as the database names them.
"""
import json
import sys

from model import INF, define
from rules import exercised

STEP = dict(phase="phase", task="taskname", flowname="flowname", subflow="subflowid", parentstep="parentstepid",
            misc="misc", start="starttime", end="endtime", status="status", data="stepdata", rerun="rerun",
            input="input", output="output", error="error")
RUN = dict(phase="phase", user="userid", app="appname", version="appversion", name="flowname", start="starttime",
           end="endtime", status="status", parent="parentflowinstanceid", parentname="parentflowname",
           original="rerunofflowinstanceid", input="flowinput", output="flowoutput", error="error", trace="traceid")
VARIABLE = dict(run="run", revision="revision", removed="removed", type="type", value="value", variable="variableid",
                created="createdat", updated="updatedat", misc="misc")


def columns(row, names):
    return {column: row[name] for name, column in names.items()}


def own(row):
    """A run's own row; the column is never null."""
    return dict(columns(row, RUN), hostid=row["host"] or "")


def shown(row):
    flow = dict(columns(row, RUN), run=row["run"], hostid=row["host"], executiontime=row["executiontime"],
                reruncount=row["reruncount"])
    flow["flowinput"] = row["flowinput"]
    return flow


def own_of_shown(row):
    """The shown run's own values, which the model keeps beside the projected ones."""
    names = ("app", "name", "user", "version", "parent", "parentname", "original")
    return own(dict(row, **{name: row["own_" + name] for name in names}))


def tables(t):
    several = {flow for flow, _ in t["ft_run"]}
    runs = {f"{flow}/{run}": own(row) for (flow, run), row in t["ft_run"].items()}
    runs |= {f"{flow}/{row['run']}": own_of_shown(row) for flow, row in t["flowstate"].items() if flow in several}
    return {
        "steps": {f"{flow}/{step}": dict(columns(row, STEP), execution=row["execution"])
                  for (flow, step), row in t["steps"].items()},
        "ft_superseded_step": {f"{flow}/{step}/{execution}": columns(row, STEP)
                               for (flow, step, execution), row in t["ft_superseded_step"].items()},
        "flowstate": {flow: shown(row) for flow, row in t["flowstate"].items()},
        "ft_run": runs,
        "ft_rewind": {f"{flow}/{'all' if n is None else n}/{before}": {} for flow, n, before in t["ft_rewind"]},
        "ft_tombstone": {flow: {"before": None if before == INF else before}
                         for flow, before in t["ft_tombstone"].items()},
        "ft_variable": {"/".join(key): columns(row, VARIABLE) for key, row in t["ft_variable"].items()},
        "appstate": {f"{user}/{app}": {"at": row["at"], "persistenceenabled": row["on"], "appversion": row["version"]}
                     for (user, app), row in t["appstate"].items()},
    }


if __name__ == "__main__":
    for line in sys.stdin:
        events = json.loads(line)
        defined = define(events)
        print(json.dumps({"tables": tables(defined), "rules": exercised(events, defined)}), flush=True)
