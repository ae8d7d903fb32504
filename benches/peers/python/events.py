"""Turns encoded events into rows, and folds the rows of a batch by their keys."""

import pathlib

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

CONTRACT = pathlib.Path(__file__).parents[3] / "proto/released/history-v1.binpb"

FLOW_STATUS = {1: "Created", 100: "Started", 500: "Completed", 600: "Cancelled", 700: "Failed"}
STEP_STATUS = {
    1: "Created", 2: "Unknown", 10: "Scheduled", 20: "Started", 30: "Waiting",
    40: "Completed", 50: "Skipped", 100: "Failed", 110: "Cancelled",
}
CLOSED = 2

# Binary COPY of a timestamp is the number of microseconds since 2000, so a timestamp travels as int8.
YEAR_2000 = 946_684_800_000_000

STEP_KEY = ("flowinstanceid", "stepid")
STEP_TYPES = {
    "flowinstanceid": "text", "stepid": "text", "phase": "int2", "execution": "int8", "taskname": "text",
    "status": "text", "starttime": "int8", "endtime": "int8", "stepdata": "bytea", "flowname": "text",
    "subflowid": "text", "misc": "bytea", "rerun": "bool", "parentstepid": "text", "input": "bytea",
    "output": "bytea", "error": "bytea",
}
FLOW_KEY = ("flowinstanceid",)
FLOW_TYPES = {
    "flowinstanceid": "text", "run": "int8", "phase": "int2", "userid": "text", "appname": "text",
    "appversion": "text", "flowname": "text", "hostid": "text", "starttime": "int8", "endtime": "int8",
    "status": "text", "parentflowinstanceid": "text", "parentflowname": "text",
    "rerunofflowinstanceid": "text", "flowinput": "bytea", "flowoutput": "bytea", "error": "bytea",
    "traceid": "text",
}
# Both have the phase as their third column.
PHASE = 2


def history_event():
    """The class of a HistoryEvent, made from the published descriptor."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(CONTRACT.read_bytes()).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("flowtrail.history.v1.HistoryEvent"))


def micros(time):
    return time.seconds * 1_000_000 + time.nanos // 1_000 - YEAR_2000


def step_row(e):
    closed = e.phase == CLOSED + 1
    return (
        e.flow_instance_id, e.step_id, e.phase - 1, e.execution, e.task_name or None,
        e.status_word or STEP_STATUS.get(e.status), micros(e.started_at) if e.HasField("started_at") else None,
        micros(e.ended_at) if closed and e.HasField("ended_at") else None, e.data or None, e.flow_name or None,
        e.subflow_id or None, e.misc or None, e.rerun, e.parent_step_id or None, e.input or None,
        e.output or None, e.error or None,
    )


def flow_row(e):
    closed = e.phase == CLOSED + 1
    return (
        e.flow_instance_id, e.run, e.phase - 1, e.user_id or None, e.app_name or None, e.app_version or None,
        e.flow_name or None, e.host_id, micros(e.started_at) if e.HasField("started_at") else None,
        micros(e.ended_at) if closed and e.HasField("ended_at") else None,
        e.status_word or FLOW_STATUS.get(e.status), e.parent_flow_instance_id or None,
        e.parent_flow_name or None, e.rerun_of_flow_instance_id or None, e.input or None, e.output or None,
        e.error or None, e.trace_id or None,
    )


def fold(rows, key, row):
    """The row of the later phase wins, and what it does not say the other one does."""
    old = rows.get(key)
    if old is None:
        rows[key] = row
        return
    if row[PHASE] < old[PHASE]:
        old, row = row, old
    rows[key] = tuple([mine if mine is not None else other for mine, other in zip(row, old)])
