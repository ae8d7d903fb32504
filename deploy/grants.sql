-- What users of flowtrail may do, as roles that hold no password and no table. For a superuser, or for the owner of the
-- tables who may make roles; after `flowtrail schema update`, and again after each update:
--
--   psql --set ON_ERROR_STOP=1 --file grants.sql history
--   CREATE USER collector PASSWORD '…' IN ROLE flowtrail_collect;
--
-- flowtrail_collect  flowtrail collect with schema.mode = "validate", and doctor
-- flowtrail_serve    flowtrail serve, flow, verify, app, rerun
-- flowtrail_operate  all of these, flowtrail deadletter, flow erase, retention, and setting offsets back
-- flowtrail_read     people and tools that only ask (docs/sql.md)
--
-- None of them may change tables: `flowtrail schema update` is for their owner.
BEGIN;

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['flowtrail_collect', 'flowtrail_serve', 'flowtrail_operate', 'flowtrail_read'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role);
    END LOOP;
    -- Lanes keep temp tables.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO flowtrail_collect, flowtrail_operate', current_database());
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON steps, flowstate, ft_superseded_step, ft_run, ft_variable
    TO flowtrail_collect, flowtrail_operate;
GRANT SELECT, INSERT, UPDATE ON appstate, ft_tombstone, ft_offset TO flowtrail_collect, flowtrail_operate;
GRANT SELECT, INSERT, DELETE ON ft_rewind, ft_snapshot TO flowtrail_collect, flowtrail_operate;
GRANT SELECT, DELETE ON ft_payload_mark TO flowtrail_collect, flowtrail_operate;
GRANT SELECT, INSERT ON ft_gap TO flowtrail_collect, flowtrail_operate;
GRANT SELECT ON ft_schema_change TO flowtrail_collect, flowtrail_operate;
-- What is of a flow instance that was not known is stored once it is, and its letter goes.
GRANT SELECT, INSERT, DELETE ON ft_dead_letter TO flowtrail_collect, flowtrail_operate;

-- Who asks sees all of it, dead letters included: they hold what could not be stored, payloads and all.
GRANT SELECT ON steps, flowstate, appstate, ft_superseded_step, ft_run, ft_rewind, ft_tombstone, ft_payload_mark, ft_snapshot,
    ft_variable, ft_offset, ft_gap, ft_dead_letter, ft_audit, ft_schema_change, ft_retention_cutoff,
    ftv_flow, ftv_step, ftv_running, ftv_stuck, ftv_recent_failure
    TO flowtrail_serve, flowtrail_operate, flowtrail_read;
GRANT EXECUTE ON FUNCTION ft_json(bytea), ft_ms(interval) TO flowtrail_serve, flowtrail_operate, flowtrail_read;
GRANT USAGE ON SCHEMA flowable TO flowtrail_serve, flowtrail_operate, flowtrail_read;
GRANT SELECT ON flowable.act_hi_procinst, flowable.act_hi_actinst, flowable.act_hi_taskinst, flowable.act_hi_varinst
    TO flowtrail_serve, flowtrail_operate, flowtrail_read;
GRANT EXECUTE ON FUNCTION flowable.fields(bytea), flowable.as_long(text), flowable.as_integer(text), flowable.as_double(text),
    flowable.as_utc(text), flowable.ms(timestamp, timestamp), flowable.source(text), flowable.id(text)
    TO flowtrail_serve, flowtrail_operate, flowtrail_read;

-- Who did what is noted, and how it ended.
GRANT INSERT, UPDATE ON ft_audit TO flowtrail_serve, flowtrail_operate;
GRANT DELETE ON ft_offset TO flowtrail_operate;

-- What was kept long enough goes; a collector with retention.every is to be in this role too.
GRANT DELETE ON ft_tombstone TO flowtrail_operate;
GRANT INSERT, UPDATE ON ft_payload_mark, ft_retention_cutoff TO flowtrail_operate;
GRANT UPDATE ON ft_snapshot TO flowtrail_operate;

COMMIT;
