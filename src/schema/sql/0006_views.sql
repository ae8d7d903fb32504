-- Views for people. Those that were there get columns behind their own, so whoever uses them goes on.

-- There is no function before Postgres 16 that says whether a text is JSON without failing. One that catches an error may
-- not run in parallel workers, which is the default.
CREATE FUNCTION ft_json(bytea) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN convert_from($1, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION ft_json(bytea) IS 'The bytes as JSON; null where they are none.';

CREATE FUNCTION ft_ms(interval) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS 'SELECT EXTRACT(epoch FROM $1)::double precision * 1000';
COMMENT ON FUNCTION ft_ms(interval) IS 'A span in milliseconds.';

CREATE OR REPLACE VIEW ftv_flow AS
    SELECT f.flowinstanceid, f.appname, f.appversion, f.flowname, f.status, f.starttime, f.endtime,
           f.endtime - f.starttime AS duration, f.hostid, f.userid, f.rerunofflowinstanceid, f.reruncount,
           ft_ms(f.endtime - f.starttime) AS durationms, f.phase, f.run, f.traceid, f.parentflowinstanceid, f.parentflowname,
           ARRAY(SELECT r.flowinstanceid FROM flowstate r WHERE r.rerunofflowinstanceid = f.flowinstanceid
               ORDER BY r.starttime, r.flowinstanceid) AS reruns,
           GREATEST((SELECT count(*) FROM ft_run r WHERE r.flowinstanceid = f.flowinstanceid), 1) AS runs,
           (SELECT count(*) FROM steps s WHERE s.flowinstanceid = f.flowinstanceid) AS steps,
           (SELECT jsonb_object_agg(c.status, c.steps) FROM (SELECT COALESCE(s.status, '') AS status, count(*) AS steps
               FROM steps s WHERE s.flowinstanceid = f.flowinstanceid GROUP BY 1) c) AS stepsbystatus
    FROM flowstate f;
COMMENT ON VIEW ftv_flow IS 'Flow instances for people: no payloads, durations that can be computed with, lineage, steps counted.';
COMMENT ON COLUMN ftv_flow.duration IS 'endtime - starttime; null while it is open.';
COMMENT ON COLUMN ftv_flow.durationms IS 'The same in milliseconds.';
COMMENT ON COLUMN ftv_flow.phase IS '0 opened, 1 running, 2 closed.';
COMMENT ON COLUMN ftv_flow.reruns IS 'Instances that are re-runs of this one, by their start.';
COMMENT ON COLUMN ftv_flow.runs IS 'How many runs of this instance are known.';
COMMENT ON COLUMN ftv_flow.steps IS 'How many steps are shown.';
COMMENT ON COLUMN ftv_flow.stepsbystatus IS 'How many of these have each status, as {"Completed": 9, "Failed": 1}; null if there are none.';

CREATE OR REPLACE VIEW ftv_step AS
    SELECT flowinstanceid, stepid, taskname, flowname, subflowid, status, starttime, endtime,
           endtime - starttime AS duration, rerun,
           ft_ms(endtime - starttime) AS durationms, phase, execution, parentstepid,
           ft_json(stepdata) AS data, ft_json(input) AS input, ft_json(output) AS output, ft_json(error) AS error,
           ft_json(misc) AS misc
    FROM steps;
COMMENT ON VIEW ftv_step IS 'Shown steps for people: durations that can be computed with, payloads as JSON where they are JSON.';
COMMENT ON COLUMN ftv_step.duration IS 'endtime - starttime; null while it is open.';
COMMENT ON COLUMN ftv_step.durationms IS 'The same in milliseconds.';
COMMENT ON COLUMN ftv_step.data IS 'steps.stepdata as JSON; null where it is none.';
COMMENT ON COLUMN ftv_step.input IS 'steps.input as JSON; null where it is none.';
COMMENT ON COLUMN ftv_step.output IS 'steps.output as JSON; null where it is none.';
COMMENT ON COLUMN ftv_step.error IS 'steps.error as JSON; null where it is none.';
COMMENT ON COLUMN ftv_step.misc IS 'steps.misc as JSON; null where it is none.';

CREATE VIEW ftv_running AS
    SELECT f.flowinstanceid, f.appname, f.appversion, f.flowname, f.status, f.starttime, f.hostid, f.userid,
           f.parentflowinstanceid, ft_ms(now() AT TIME ZONE 'UTC' - f.starttime) AS runningms,
           ARRAY(SELECT s.taskname FROM steps s WHERE s.flowinstanceid = f.flowinstanceid AND s.phase < 2
               ORDER BY s.starttime, s.stepid) AS opentasks
    FROM flowstate f WHERE f.phase < 2;
COMMENT ON VIEW ftv_running IS 'Flow instances that have not ended. What other programs write counts as ended.';
COMMENT ON COLUMN ftv_running.runningms IS 'For how long, by the database''s clock, in milliseconds.';
COMMENT ON COLUMN ftv_running.opentasks IS 'Tasks of its steps that have not ended.';

CREATE VIEW ftv_stuck AS
    WITH open AS MATERIALIZED (
        SELECT flowinstanceid, appname, flowname, ft_ms(now() AT TIME ZONE 'UTC' - starttime) AS ms
        FROM flowstate WHERE phase < 2
    ), usual AS MATERIALIZED (
        SELECT k.appname, k.flowname, u.p99ms, u.sample
        FROM (SELECT DISTINCT appname, flowname FROM open) k
        CROSS JOIN LATERAL (
            SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY n.ms) AS p99ms, count(n.ms) AS sample
            FROM (SELECT ft_ms(d.endtime - d.starttime) AS ms FROM flowstate d
                WHERE d.appname = k.appname AND d.flowname = k.flowname AND d.phase = 2 AND d.starttime IS NOT NULL
                ORDER BY d.starttime DESC LIMIT 1000) n
        ) u
        WHERE u.sample >= 20
    )
    SELECT r.*, u.p99ms, u.sample
    FROM open o
    JOIN usual u ON u.appname = o.appname AND u.flowname = o.flowname AND o.ms > u.p99ms
    JOIN ftv_running r ON r.flowinstanceid = o.flowinstanceid;
COMMENT ON VIEW ftv_stuck IS 'Of ftv_running those that take longer than 99 of 100 of the newest thousand ended runs of the same flow of the same app; a flow of which fewer than 20 have ended is not judged.';
COMMENT ON COLUMN ftv_stuck.p99ms IS 'How long 99 of 100 of these took at most, in milliseconds.';
COMMENT ON COLUMN ftv_stuck.sample IS 'How many of these there are.';

CREATE VIEW ftv_recent_failure AS
    SELECT f.flowinstanceid, f.appname, f.appversion, f.flowname, f.status, f.starttime, f.endtime,
           ft_ms(f.endtime - f.starttime) AS durationms, f.hostid, f.userid, f.rerunofflowinstanceid, f.reruncount,
           s.stepid, s.taskname, ft_json(COALESCE(s.error, f.error)) AS error
    FROM flowstate f LEFT JOIN LATERAL (
        SELECT s.stepid, s.taskname, s.error FROM steps s
        WHERE s.flowinstanceid = f.flowinstanceid AND (s.status = 'Failed' OR s.error IS NOT NULL)
        ORDER BY s.starttime DESC NULLS LAST, s.stepid DESC LIMIT 1
    ) s ON true
    WHERE f.starttime >= now() AT TIME ZONE 'UTC' - interval '7 days' AND (f.status = 'Failed' OR f.error IS NOT NULL);
COMMENT ON VIEW ftv_recent_failure IS 'Flow instances that started within seven days and failed, with the step that failed last, if any.';
COMMENT ON COLUMN ftv_recent_failure.durationms IS 'endtime - starttime in milliseconds; null while it is open.';
COMMENT ON COLUMN ftv_recent_failure.stepid IS 'The failed step that began last.';
COMMENT ON COLUMN ftv_recent_failure.taskname IS 'Its task.';
COMMENT ON COLUMN ftv_recent_failure.error IS 'Its error as JSON, or else the flow''s; null where there is none, or where it is none.';
