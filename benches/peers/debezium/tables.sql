-- The connector's upsert takes the last event of a row for all of it, and an opening event and a closing one each know half.
-- So it inserts, into tables that stay empty, and a trigger merges: what comes later in a step's or a flow's life wins, and
-- what that does not say the other one does.
CREATE UNLOGGED TABLE steps_in (LIKE steps);
CREATE UNLOGGED TABLE flowstate_in (LIKE flowstate);

CREATE FUNCTION merge_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO steps AS t VALUES (NEW.*)
    ON CONFLICT (flowinstanceid, stepid) DO UPDATE SET
        status = CASE WHEN excluded.phase >= t.phase THEN excluded.status ELSE t.status END,
        phase = greatest(excluded.phase, t.phase),
        taskname = coalesce(excluded.taskname, t.taskname),
        starttime = coalesce(excluded.starttime, t.starttime),
        endtime = coalesce(excluded.endtime, t.endtime),
        stepdata = coalesce(excluded.stepdata, t.stepdata),
        flowname = coalesce(excluded.flowname, t.flowname),
        subflowid = coalesce(excluded.subflowid, t.subflowid),
        misc = coalesce(excluded.misc, t.misc),
        rerun = excluded.rerun OR t.rerun,
        parentstepid = coalesce(excluded.parentstepid, t.parentstepid),
        execution = coalesce(excluded.execution, t.execution),
        input = coalesce(excluded.input, t.input),
        output = coalesce(excluded.output, t.output),
        error = coalesce(excluded.error, t.error);
    RETURN NULL;
END $$;

CREATE FUNCTION merge_flow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.reruncount := 0;
    NEW.executiontime := (extract(epoch FROM NEW.endtime - NEW.starttime) * 1000)::numeric(30, 3)::text;
    INSERT INTO flowstate AS t VALUES (NEW.*)
    ON CONFLICT (flowinstanceid) DO UPDATE SET
        status = CASE WHEN excluded.phase >= t.phase THEN excluded.status ELSE t.status END,
        phase = greatest(excluded.phase, t.phase),
        userid = coalesce(excluded.userid, t.userid),
        appname = coalesce(excluded.appname, t.appname),
        appversion = coalesce(excluded.appversion, t.appversion),
        flowname = coalesce(excluded.flowname, t.flowname),
        hostid = coalesce(nullif(excluded.hostid, ''), t.hostid),
        starttime = coalesce(excluded.starttime, t.starttime),
        endtime = coalesce(excluded.endtime, t.endtime),
        executiontime = (extract(epoch FROM coalesce(excluded.endtime, t.endtime)
            - coalesce(excluded.starttime, t.starttime)) * 1000)::numeric(30, 3)::text,
        parentflowinstanceid = coalesce(excluded.parentflowinstanceid, t.parentflowinstanceid),
        parentflowname = coalesce(excluded.parentflowname, t.parentflowname),
        rerunofflowinstanceid = coalesce(excluded.rerunofflowinstanceid, t.rerunofflowinstanceid),
        flowinput = coalesce(excluded.flowinput, t.flowinput),
        flowoutput = coalesce(excluded.flowoutput, t.flowoutput),
        error = coalesce(excluded.error, t.error),
        traceid = coalesce(excluded.traceid, t.traceid),
        run = coalesce(excluded.run, t.run);
    RETURN NULL;
END $$;

CREATE TRIGGER merge BEFORE INSERT ON steps_in FOR EACH ROW EXECUTE FUNCTION merge_step();
CREATE TRIGGER merge BEFORE INSERT ON flowstate_in FOR EACH ROW EXECUTE FUNCTION merge_flow();
