-- Temp tables that a batch is copied into before it meets what is stored. Made once per session.
-- ON COMMIT DELETE ROWS costs a fraction of a TRUNCATE's log.
CREATE TEMP TABLE IF NOT EXISTS ft_stage_step (
    flowinstanceid text, stepid text, execution bigint, known boolean, phase smallint, taskname text, status text,
    starttime timestamp, endtime timestamp, stepdata bytea, flowname text, subflowid text, misc bytea, rerun boolean,
    parentstepid text, input bytea, output bytea, error bytea
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS ft_stage_run (
    flowinstanceid text, run bigint, known boolean, reruncount integer, phase smallint, userid text, appname text,
    appversion text, flowname text, hostid text, starttime timestamp, endtime timestamp, status text,
    parentflowinstanceid text, parentflowname text, rerunofflowinstanceid text, flowinput bytea, flowoutput bytea,
    error bytea, traceid text
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS ft_stage_flow (flowinstanceid text, runs boolean) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS ft_stage_named (flowinstanceid text) ON COMMIT DELETE ROWS;
