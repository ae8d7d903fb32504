-- The tables that existing Flogo tooling reads: their names, columns, types and keys are fixed.
CREATE TABLE IF NOT EXISTS steps (
    flowinstanceid text NOT NULL,
    stepid         text NOT NULL,
    taskname       text,
    status         text,
    starttime      timestamp without time zone,
    endtime        timestamp without time zone,
    stepdata       bytea,
    flowname       text,
    subflowid      text,
    misc           bytea,
    rerun          boolean,
    parentstepid   text,
    PRIMARY KEY (flowinstanceid, stepid)
);
CREATE TABLE IF NOT EXISTS flowstate (
    flowinstanceid        text PRIMARY KEY,
    userid                text,
    appname               text,
    appversion            text,
    flowname              text,
    hostid                text NOT NULL,
    starttime             timestamp without time zone,
    endtime               timestamp without time zone,
    executiontime         text,
    status                text,
    parentflowinstanceid  text,
    parentflowname        text,
    misc                  bytea,
    rerunofflowinstanceid text,
    flowinput             bytea,
    flowoutput            bytea,
    reruncount            integer
);
CREATE TABLE IF NOT EXISTS appstate (
    userid             text,
    appname            text,
    appversion         text,
    persistenceenabled boolean,
    PRIMARY KEY (userid, appname)
);

COMMENT ON TABLE steps IS 'Steps of flow instances; of each step the shown execution: the greatest that is not superseded.';
COMMENT ON COLUMN steps.flowinstanceid IS 'Flow instance the step belongs to.';
COMMENT ON COLUMN steps.stepid IS 'Step within the instance, as the runtime names it; Flogo counts from 0.';
COMMENT ON COLUMN steps.taskname IS 'Task that ended in the step.';
COMMENT ON COLUMN steps.status IS 'The runtime''s word for the status.';
COMMENT ON COLUMN steps.starttime IS 'Start, UTC, rounded to µs.';
COMMENT ON COLUMN steps.endtime IS 'End, UTC, rounded to µs; null while it is open.';
COMMENT ON COLUMN steps.stepdata IS 'The runtime''s own record of the step, byte for byte.';
COMMENT ON COLUMN steps.flowname IS 'Flow the task belongs to; within a subflow that subflow''s.';
COMMENT ON COLUMN steps.subflowid IS 'Subflow the task ran in, as the runtime counts them within the instance.';
COMMENT ON COLUMN steps.misc IS 'What else the runtime said of the step.';
COMMENT ON COLUMN steps.rerun IS 'The execution belongs to a re-run of the instance.';
COMMENT ON COLUMN steps.parentstepid IS 'Step this one belongs to.';

COMMENT ON TABLE flowstate IS 'Flow instances; of each the shown run: the greatest.';
COMMENT ON COLUMN flowstate.flowinstanceid IS 'Flow instance.';
COMMENT ON COLUMN flowstate.userid IS 'User who ran it.';
COMMENT ON COLUMN flowstate.appname IS 'App that holds the flow.';
COMMENT ON COLUMN flowstate.appversion IS 'Version of the app.';
COMMENT ON COLUMN flowstate.flowname IS 'Flow name.';
COMMENT ON COLUMN flowstate.hostid IS 'Host the shown run ran on; empty if not known.';
COMMENT ON COLUMN flowstate.starttime IS 'Start of the shown run, UTC, rounded to µs.';
COMMENT ON COLUMN flowstate.endtime IS 'End of the shown run, UTC, rounded to µs; null while it is open.';
COMMENT ON COLUMN flowstate.executiontime IS 'endtime - starttime in milliseconds, three decimals, as text; may be negative.';
COMMENT ON COLUMN flowstate.status IS 'The runtime''s word for the status of the shown run.';
COMMENT ON COLUMN flowstate.parentflowinstanceid IS 'Flow instance that called this one.';
COMMENT ON COLUMN flowstate.parentflowname IS 'Flow name of that instance.';
COMMENT ON COLUMN flowstate.misc IS 'What else the runtime said of the instance.';
COMMENT ON COLUMN flowstate.rerunofflowinstanceid IS 'Flow instance whose re-run this one is.';
COMMENT ON COLUMN flowstate.flowinput IS 'Input of the first run that is known.';
COMMENT ON COLUMN flowstate.flowoutput IS 'Output of the shown run; null while it is open.';
COMMENT ON COLUMN flowstate.reruncount IS 'How many other instances name this one as the one they re-run; derived, never incremented.';

COMMENT ON TABLE appstate IS 'Per user and app whether its history is to be kept, as last switched.';
COMMENT ON COLUMN appstate.userid IS 'User; empty if not known.';
COMMENT ON COLUMN appstate.appname IS 'App.';
COMMENT ON COLUMN appstate.appversion IS 'Version of the app that was switched last.';
COMMENT ON COLUMN appstate.persistenceenabled IS 'Its history is to be kept.';
