-- What the merge law needs beside the fixed columns. Defaults are what rows of other writers get: a step of the Go
-- service is a whole one; adding a column with a constant default rewrites no row.
ALTER TABLE steps
    ADD COLUMN execution bigint DEFAULT 0,
    ADD COLUMN phase     smallint DEFAULT 2,
    ADD COLUMN input     bytea,
    ADD COLUMN output    bytea,
    ADD COLUMN error     bytea;
ALTER TABLE flowstate
    ADD COLUMN run     bigint DEFAULT 0,
    ADD COLUMN phase   smallint DEFAULT 2,
    ADD COLUMN error   bytea,
    ADD COLUMN traceid text;
ALTER TABLE appstate
    ADD COLUMN at timestamp without time zone;

COMMENT ON COLUMN steps.execution IS 'Number of the shown execution; a greater one is a later one (Flogo: its start in µs since 1970).';
COMMENT ON COLUMN steps.phase IS '0 opened, 1 running, 2 closed.';
COMMENT ON COLUMN steps.input IS 'Input of the step.';
COMMENT ON COLUMN steps.output IS 'Output of the step; null while it is open.';
COMMENT ON COLUMN steps.error IS 'Error of the step; null while it is open.';
COMMENT ON COLUMN flowstate.run IS 'Number of the shown run; a greater one is a later one (Flogo: its start in µs since 1970).';
COMMENT ON COLUMN flowstate.phase IS '0 opened, 1 running, 2 closed.';
COMMENT ON COLUMN flowstate.error IS 'Error of the shown run; null while it is open.';
COMMENT ON COLUMN flowstate.traceid IS 'Trace id of the shown run.';
COMMENT ON COLUMN appstate.at IS 'When it was switched, by the gateway''s clock, UTC.';

-- Re-run steps of a flow, and the re-runs of an instance, are looked up for every batch.
CREATE INDEX ft_steps_rerun ON steps (flowinstanceid) WHERE rerun;
CREATE INDEX ft_flowstate_original ON flowstate (rerunofflowinstanceid) WHERE rerunofflowinstanceid IS NOT NULL;
-- The list of flows, newest first.
CREATE INDEX ft_flowstate_start ON flowstate (starttime, flowinstanceid);

CREATE TABLE ft_superseded_step (
    flowinstanceid text NOT NULL,
    stepid         text NOT NULL,
    execution      bigint NOT NULL,
    phase          smallint NOT NULL,
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
    input          bytea,
    output         bytea,
    error          bytea,
    PRIMARY KEY (flowinstanceid, stepid, execution)
);
COMMENT ON TABLE ft_superseded_step IS 'Executions of steps other than the shown one: earlier ones, and those that a rewind or a re-run superseded.';
COMMENT ON COLUMN ft_superseded_step.flowinstanceid IS 'As steps.flowinstanceid.';
COMMENT ON COLUMN ft_superseded_step.stepid IS 'As steps.stepid.';
COMMENT ON COLUMN ft_superseded_step.execution IS 'Number of this execution.';
COMMENT ON COLUMN ft_superseded_step.phase IS '0 opened, 1 running, 2 closed.';
COMMENT ON COLUMN ft_superseded_step.taskname IS 'As steps.taskname.';
COMMENT ON COLUMN ft_superseded_step.status IS 'As steps.status.';
COMMENT ON COLUMN ft_superseded_step.starttime IS 'Start, UTC, rounded to µs.';
COMMENT ON COLUMN ft_superseded_step.endtime IS 'End, UTC, rounded to µs; null while it is open.';
COMMENT ON COLUMN ft_superseded_step.stepdata IS 'As steps.stepdata.';
COMMENT ON COLUMN ft_superseded_step.flowname IS 'As steps.flowname.';
COMMENT ON COLUMN ft_superseded_step.subflowid IS 'As steps.subflowid.';
COMMENT ON COLUMN ft_superseded_step.misc IS 'As steps.misc.';
COMMENT ON COLUMN ft_superseded_step.rerun IS 'As steps.rerun.';
COMMENT ON COLUMN ft_superseded_step.parentstepid IS 'As steps.parentstepid.';
COMMENT ON COLUMN ft_superseded_step.input IS 'As steps.input.';
COMMENT ON COLUMN ft_superseded_step.output IS 'As steps.output.';
COMMENT ON COLUMN ft_superseded_step.error IS 'As steps.error.';

CREATE TABLE ft_run (
    flowinstanceid        text NOT NULL,
    run                   bigint NOT NULL,
    phase                 smallint NOT NULL,
    userid                text,
    appname               text,
    appversion            text,
    flowname              text,
    hostid                text NOT NULL,
    starttime             timestamp without time zone,
    endtime               timestamp without time zone,
    status                text,
    parentflowinstanceid  text,
    parentflowname        text,
    rerunofflowinstanceid text,
    flowinput             bytea,
    flowoutput            bytea,
    error                 bytea,
    traceid               text,
    PRIMARY KEY (flowinstanceid, run)
);
COMMENT ON TABLE ft_run IS 'Every run of an instance that has two or more, the shown one included, each with its own values.';
COMMENT ON COLUMN ft_run.flowinstanceid IS 'As flowstate.flowinstanceid.';
COMMENT ON COLUMN ft_run.run IS 'Number of this run.';
COMMENT ON COLUMN ft_run.phase IS '0 opened, 1 running, 2 closed.';
COMMENT ON COLUMN ft_run.userid IS 'User who ran it.';
COMMENT ON COLUMN ft_run.appname IS 'App that held the flow.';
COMMENT ON COLUMN ft_run.appversion IS 'Version of the app.';
COMMENT ON COLUMN ft_run.flowname IS 'Flow name.';
COMMENT ON COLUMN ft_run.hostid IS 'Host it ran on; empty if not known.';
COMMENT ON COLUMN ft_run.starttime IS 'Start, UTC, rounded to µs.';
COMMENT ON COLUMN ft_run.endtime IS 'End, UTC, rounded to µs; null while it is open.';
COMMENT ON COLUMN ft_run.status IS 'The runtime''s word for the status.';
COMMENT ON COLUMN ft_run.parentflowinstanceid IS 'Flow instance that called it.';
COMMENT ON COLUMN ft_run.parentflowname IS 'Flow name of that instance.';
COMMENT ON COLUMN ft_run.rerunofflowinstanceid IS 'Flow instance whose re-run it is.';
COMMENT ON COLUMN ft_run.flowinput IS 'Input of this run.';
COMMENT ON COLUMN ft_run.flowoutput IS 'Output of this run; null while it is open.';
COMMENT ON COLUMN ft_run.error IS 'Error of this run; null while it is open.';
COMMENT ON COLUMN ft_run.traceid IS 'Trace id of this run.';

CREATE TABLE ft_rewind (
    flowinstanceid text NOT NULL,
    n              bigint,
    before         bigint NOT NULL
);
CREATE UNIQUE INDEX ft_rewind_from ON ft_rewind (flowinstanceid, n, before) WHERE n IS NOT NULL;
CREATE UNIQUE INDEX ft_rewind_all ON ft_rewind (flowinstanceid, before) WHERE n IS NULL;
CREATE INDEX ft_rewind_flow ON ft_rewind (flowinstanceid);
COMMENT ON TABLE ft_rewind IS 'Facts that supersede executions: executions below before of steps numbered n and up no longer count.';
COMMENT ON COLUMN ft_rewind.flowinstanceid IS 'Flow instance.';
COMMENT ON COLUMN ft_rewind.n IS 'First step number it reaches; null reaches every step.';
COMMENT ON COLUMN ft_rewind.before IS 'Executions below this number are superseded.';

CREATE TABLE ft_tombstone (
    flowinstanceid text PRIMARY KEY,
    before         bigint
);
COMMENT ON TABLE ft_tombstone IS 'Flow instances whose history was deleted; keeps what comes late or again from coming back.';
COMMENT ON COLUMN ft_tombstone.flowinstanceid IS 'Flow instance.';
COMMENT ON COLUMN ft_tombstone.before IS 'Runs and executions below this are gone; null: all, for ever.';

CREATE TABLE ft_snapshot (
    flowinstanceid text NOT NULL,
    stepid         text NOT NULL,
    hash           bytea NOT NULL,
    data           bytea NOT NULL,
    PRIMARY KEY (flowinstanceid, stepid, hash)
);
COMMENT ON TABLE ft_snapshot IS 'States of instances before a step, each distinct one once.';
COMMENT ON COLUMN ft_snapshot.flowinstanceid IS 'Flow instance.';
COMMENT ON COLUMN ft_snapshot.stepid IS 'Step the state was taken before; empty where the runtime does not say, as Flogo does not.';
COMMENT ON COLUMN ft_snapshot.hash IS 'SHA-256 of data.';
COMMENT ON COLUMN ft_snapshot.data IS 'The runtime''s own bytes.';
