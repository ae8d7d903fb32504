-- Temp tables that a batch is copied into before it meets what is stored. Made once per session.
-- What a transaction put there it deletes itself. ON COMMIT DELETE ROWS would cut every file of theirs to nothing at
-- every commit that met one of them, while locks are still held, which took 15 ms of waiting for the disk.
CREATE TEMP TABLE IF NOT EXISTS ft_stage_step (
    flowinstanceid text, stepid text, execution bigint, at tid, by xid, known boolean, phase smallint, taskname text, status text,
    starttime timestamp, endtime timestamp, stepdata bytea, flowname text, subflowid text, misc bytea, rerun boolean,
    parentstepid text, input bytea, output bytea, error bytea
);
CREATE TEMP TABLE IF NOT EXISTS ft_stage_run (
    flowinstanceid text, run bigint, at tid, by xid, known boolean, reruncount integer, phase smallint, userid text, appname text,
    appversion text, flowname text, hostid text, starttime timestamp, endtime timestamp, status text,
    parentflowinstanceid text, parentflowname text, rerunofflowinstanceid text, flowinput bytea, flowoutput bytea,
    error bytea, traceid text
);
CREATE TEMP TABLE IF NOT EXISTS ft_stage_flow (flowinstanceid text, runs boolean);
CREATE TEMP TABLE IF NOT EXISTS ft_stage_named (flowinstanceid text);
