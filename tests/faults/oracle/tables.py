"""The tables that are compared: keys, columns, and a row as one line of text, as `COPY … TO STDOUT` gives it.

`python3 tables.py` prints for each table its columns and the query that COPY is to be given.
"""
import hashlib
import json

from wire import LONG, Long

TIME = {"starttime", "endtime", "at", "createdat", "updatedat"}
BYTES = {"stepdata", "misc", "input", "output", "error", "flowinput", "flowoutput", "hash", "data", "recordkey", "payload",
         "payloadhash", "value"}
STEP = ["phase", "taskname", "status", "starttime", "endtime", "stepdata", "flowname", "subflowid", "misc", "rerun", "parentstepid",
        "input", "output", "error"]
RUN = ["phase", "userid", "appname", "appversion", "flowname", "hostid", "starttime", "endtime", "status", "parentflowinstanceid",
       "parentflowname", "rerunofflowinstanceid", "flowinput", "flowoutput", "error", "traceid"]
# Key columns, and the others. That reruncount is the last is what `expected.py` relies on.
TABLES = {
    "steps": (["flowinstanceid", "stepid"], ["execution"] + STEP),
    "ft_superseded_step": (["flowinstanceid", "stepid", "execution"], STEP),
    "flowstate": (["flowinstanceid"], ["run", "executiontime", "misc"] + RUN + ["reruncount"]),
    "ft_run": (["flowinstanceid", "run"], RUN),
    "ft_rewind": (["flowinstanceid", "n", "before"], []),
    # Nothing is removed by retention here.
    "ft_tombstone": (["flowinstanceid"], ["before", "removedat"]),
    "ft_payload_mark": (["flowinstanceid"], ["before", "removedat"]),
    "ft_snapshot": (["flowinstanceid", "stepid", "hash"], ["data"]),
    "ft_variable": (["flowinstanceid", "scope", "name"],
                    ["run", "revision", "removed", "type", "value", "variableid", "createdat", "updatedat", "misc"]),
    "appstate": (["userid", "appname"], ["at", "persistenceenabled", "appversion"]),
    "ft_dead_letter": (["topic", "partition", "recordoffset"],
                       ["payloadhash", "recordtime", "recordkey", "payload", "headers", "reason", "sqlstate"]),
    "ft_gap": (["topic", "partition", "fromoffset"], ["tooffset", "cause"]),
}
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\v": "\\v"})


def cell(value):
    if value is None:
        return "\\N"
    if value is True or value is False:
        return "t" if value else "f"
    if isinstance(value, Long):
        return "#%d %s" % (value.size, value.digest.hex())
    # Bytes longer than LONG are compared by length and SHA-256.
    if isinstance(value, bytes):
        return value.hex() if len(value) <= LONG else "#%d %s" % (len(value), hashlib.sha256(value).hexdigest())
    if isinstance(value, str):
        return value if value.isalnum() else value.translate(ESCAPES)
    return str(value)


def line(values):
    return "\t".join([cell(value) for value in values])


def expression(column):
    if column in TIME:
        return f"(extract(epoch FROM {column}) * 1000000)::bigint"
    if column in BYTES:
        short = f"encode({column}, 'hex')"
        long = f"'#' || octet_length({column}) || ' ' || encode(sha256({column}), 'hex')"
        return f"CASE WHEN octet_length({column}) > {LONG} THEN {long} ELSE {short} END"
    return column


def query(table):
    key, rest = TABLES[table]
    return "SELECT %s FROM %s" % (", ".join(expression(column) for column in key + rest), table)


if __name__ == "__main__":
    print(json.dumps({table: {"columns": key + rest, "query": query(table)} for table, (key, rest) in TABLES.items()}))
