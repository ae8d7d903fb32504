-- What flowtrail keeps of its own work.
CREATE TABLE ft_offset (
    consumergroup text NOT NULL,
    topic         text NOT NULL,
    partition     integer NOT NULL,
    nextoffset    bigint NOT NULL,
    epoch         integer,
    lastoffset    bigint,
    lasttime      bigint,
    lasthash      bytea,
    updatedat     timestamp with time zone NOT NULL DEFAULT now(),
    PRIMARY KEY (consumergroup, topic, partition)
);
COMMENT ON TABLE ft_offset IS 'Per group and partition what is stored: written in the transaction that wrote the rows.';
COMMENT ON COLUMN ft_offset.consumergroup IS 'Consumer group.';
COMMENT ON COLUMN ft_offset.topic IS 'Topic.';
COMMENT ON COLUMN ft_offset.partition IS 'Partition number.';
COMMENT ON COLUMN ft_offset.nextoffset IS 'Everything before this offset is stored.';
COMMENT ON COLUMN ft_offset.epoch IS 'Leader epoch of the last stored record, if known.';
COMMENT ON COLUMN ft_offset.lastoffset IS 'Offset of the last stored record.';
COMMENT ON COLUMN ft_offset.lasttime IS 'Timestamp of that record in ms since 1970, if it has one.';
COMMENT ON COLUMN ft_offset.lasthash IS 'First 16 bytes of the SHA-256 of that record''s key and value: tells a topic that was created again.';
COMMENT ON COLUMN ft_offset.updatedat IS 'When this row was written.';

CREATE TABLE ft_dead_letter (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic         text NOT NULL,
    partition     integer NOT NULL,
    recordoffset  bigint NOT NULL,
    recordtime    bigint,
    recordkey     bytea,
    payload       bytea,
    headers       jsonb,
    payloadhash   bytea NOT NULL,
    reason        text NOT NULL,
    sqlstate      text,
    detail        text,
    consumergroup text NOT NULL,
    keptat        timestamp with time zone NOT NULL DEFAULT now(),
    UNIQUE (topic, partition, recordoffset, payloadhash)
);
COMMENT ON TABLE ft_dead_letter IS 'Messages that could not become rows, or not as a whole; kept as they came, each once.';
COMMENT ON COLUMN ft_dead_letter.id IS 'Number to name it by.';
COMMENT ON COLUMN ft_dead_letter.topic IS 'Topic it came from.';
COMMENT ON COLUMN ft_dead_letter.partition IS 'Partition number.';
COMMENT ON COLUMN ft_dead_letter.recordoffset IS 'Offset of the record.';
COMMENT ON COLUMN ft_dead_letter.recordtime IS 'Timestamp of the record in ms since 1970, if it has one.';
COMMENT ON COLUMN ft_dead_letter.recordkey IS 'Key of the record.';
COMMENT ON COLUMN ft_dead_letter.payload IS 'Value of the record, byte for byte.';
COMMENT ON COLUMN ft_dead_letter.headers IS 'Headers in order: [{"key": text, "value": base64 or null}].';
COMMENT ON COLUMN ft_dead_letter.payloadhash IS 'SHA-256 of the value: tells a record of a topic that was created again.';
COMMENT ON COLUMN ft_dead_letter.reason IS 'Why, as flowtrail_dead_letters_total{reason} counts it.';
COMMENT ON COLUMN ft_dead_letter.sqlstate IS 'SQLSTATE where Postgres refused it.';
COMMENT ON COLUMN ft_dead_letter.detail IS 'Why, in a sentence.';
COMMENT ON COLUMN ft_dead_letter.consumergroup IS 'Group that met it first.';
COMMENT ON COLUMN ft_dead_letter.keptat IS 'When it was kept.';

CREATE TABLE ft_gap (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumergroup text NOT NULL,
    topic         text NOT NULL,
    partition     integer NOT NULL,
    cause         text NOT NULL,
    fromoffset    bigint NOT NULL,
    tooffset      bigint,
    detail        text,
    foundat       timestamp with time zone NOT NULL DEFAULT now()
);
COMMENT ON TABLE ft_gap IS 'Stretches of a partition that Kafka no longer had when they were to be read.';
COMMENT ON COLUMN ft_gap.id IS 'Number to name it by.';
COMMENT ON COLUMN ft_gap.consumergroup IS 'Consumer group.';
COMMENT ON COLUMN ft_gap.topic IS 'Topic.';
COMMENT ON COLUMN ft_gap.partition IS 'Partition number.';
COMMENT ON COLUMN ft_gap.cause IS 'How it came about, as flowtrail_gaps_total{cause} counts it.';
COMMENT ON COLUMN ft_gap.fromoffset IS 'First offset that is missing.';
COMMENT ON COLUMN ft_gap.tooffset IS 'First offset that is there again, if any.';
COMMENT ON COLUMN ft_gap.detail IS 'What was found, in a sentence.';
COMMENT ON COLUMN ft_gap.foundat IS 'When it was found.';

CREATE TABLE ft_audit (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamp with time zone NOT NULL DEFAULT now(),
    actor  text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    detail jsonb
);
COMMENT ON TABLE ft_audit IS 'What people had flowtrail do: re-runs, dead letters retried or dropped, replays, switches.';
COMMENT ON COLUMN ft_audit.id IS 'Number to name it by.';
COMMENT ON COLUMN ft_audit.at IS 'When.';
COMMENT ON COLUMN ft_audit.actor IS 'Who asked for it.';
COMMENT ON COLUMN ft_audit.action IS 'What was done.';
COMMENT ON COLUMN ft_audit.object IS 'To what it was done.';
COMMENT ON COLUMN ft_audit.detail IS 'Parameters and outcome.';

CREATE TABLE ft_retention_cutoff (
    policy        text PRIMARY KEY,
    startedbefore timestamp without time zone NOT NULL,
    ranat         timestamp with time zone NOT NULL DEFAULT now()
);
COMMENT ON TABLE ft_retention_cutoff IS 'Per retention policy what was removed, so that it does not come back in pieces.';
COMMENT ON COLUMN ft_retention_cutoff.policy IS 'Name of the policy.';
COMMENT ON COLUMN ft_retention_cutoff.startedbefore IS 'Finished flows of the policy that started before this, UTC, were removed.';
COMMENT ON COLUMN ft_retention_cutoff.ranat IS 'When it was last run.';

CREATE VIEW ftv_flow AS
    SELECT flowinstanceid, appname, appversion, flowname, status, starttime, endtime, endtime - starttime AS duration,
           hostid, userid, rerunofflowinstanceid, reruncount
    FROM flowstate;
COMMENT ON VIEW ftv_flow IS 'Flow instances for people: no payloads, a duration that can be computed with.';
CREATE VIEW ftv_step AS
    SELECT flowinstanceid, stepid, taskname, flowname, subflowid, status, starttime, endtime,
           endtime - starttime AS duration, rerun
    FROM steps;
COMMENT ON VIEW ftv_step IS 'Shown steps for people: no payloads, a duration that can be computed with.';
