-- History of Flowable for those who know its tables: their names and columns, in a schema of their own.
-- A schema that is there already, made by somebody who may, is taken.
DO $$ BEGIN
    IF to_regnamespace('flowable') IS NULL THEN
        CREATE SCHEMA flowable;
        COMMENT ON SCHEMA flowable IS 'History of Flowable engines as views with the names and columns of Flowable''s own tables.';
    END IF;
END $$;

-- Whoever asks a view may have another search_path, so what these functions need is said in full. What a producer wrote is
-- read as far as it can be: a row that can't be is no reason to refuse the others.
CREATE FUNCTION flowable.fields(bytea) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    said jsonb;
BEGIN
    said := convert_from($1, 'UTF8')::jsonb;
    RETURN CASE WHEN jsonb_typeof(said) = 'object' THEN said END;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flowable.fields(bytea) IS 'The bytes as a JSON object; null where they are none.';

CREATE FUNCTION flowable.as_long(text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN $1::bigint;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flowable.as_long(text) IS 'Text as a whole number of 64 bits; null where it is none.';

CREATE FUNCTION flowable.as_integer(text) RETURNS integer LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN $1::integer;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flowable.as_integer(text) IS 'Text as a whole number of 32 bits; null where it is none.';

CREATE FUNCTION flowable.as_double(text) RETURNS double precision LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN $1::double precision;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flowable.as_double(text) IS 'Text as a number; null where it is none.';

CREATE FUNCTION flowable.as_utc(text) RETURNS timestamp without time zone LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    RETURN $1::timestamp with time zone AT TIME ZONE 'UTC';
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION flowable.as_utc(text) IS 'A time of ISO 8601 as UTC; null where it is none.';

CREATE FUNCTION flowable.ms(timestamp without time zone, timestamp without time zone) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT CASE WHEN isfinite($1) AND isfinite($2) THEN trunc(EXTRACT(epoch FROM $2 - $1) * 1000)::bigint END $$;
COMMENT ON FUNCTION flowable.ms(timestamp, timestamp) IS 'Whole milliseconds from one time to another.';

CREATE FUNCTION flowable.source(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT split_part($1, ':', 1) $$;
COMMENT ON FUNCTION flowable.source(text) IS 'The engine that a flow instance id begins with.';

CREATE FUNCTION flowable.id(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT substr($1, strpos($1, ':') + 1) $$;
COMMENT ON FUNCTION flowable.id(text) IS 'The engine''s own id in a flow instance id: what is behind the first colon.';

-- Of a record that comes in parts, each field is that of the part with the greatest revision that has it.
CREATE VIEW flowable.act_hi_procinst AS
    SELECT flowable.id(f.flowinstanceid) AS id_,
           NULL::integer AS rev_,
           flowable.id(f.flowinstanceid) AS proc_inst_id_,
           r.said ->> 'businessKey' AS business_key_,
           r.said ->> 'processDefinitionId' AS proc_def_id_,
           f.starttime AS start_time_,
           f.endtime AS end_time_,
           flowable.ms(f.starttime, f.endtime) AS duration_,
           f.userid AS start_user_id_,
           r.said ->> 'startActivityId' AS start_act_id_,
           r.said ->> 'endActivityId' AS end_act_id_,
           flowable.id(f.parentflowinstanceid) AS super_process_instance_id_,
           r.said ->> 'deleteReason' AS delete_reason_,
           COALESCE(r.said ->> 'tenantId', '') AS tenant_id_,
           r.said ->> 'name' AS name_,
           r.said ->> 'callbackId' AS callback_id_,
           r.said ->> 'callbackType' AS callback_type_,
           r.said ->> 'referenceId' AS reference_id_,
           r.said ->> 'referenceType' AS reference_type_,
           r.said ->> 'propagatedStageInstanceId' AS propagated_stage_inst_id_,
           r.said ->> 'businessStatus' AS business_status_,
           r.said ->> 'endUserId' AS end_user_id_,
           COALESCE(r.said ->> 'state', CASE WHEN f.phase < 2 THEN 'running' WHEN f.status = 'Cancelled' THEN 'cancelled'
               ELSE 'completed' END) AS state_,
           flowable.source(f.flowinstanceid) AS source_,
           f.flowinstanceid
    FROM flowstate f CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(e.key, e.value ORDER BY v.run, v.revision, v.name COLLATE "C") FILTER (WHERE e.key IS NOT NULL) AS said
        FROM ft_variable v LEFT JOIN LATERAL jsonb_each(flowable.fields(v.value)) e ON true
        WHERE v.flowinstanceid = f.flowinstanceid AND v.scope = '@process' HAVING count(*) > 0
    ) r;
COMMENT ON VIEW flowable.act_hi_procinst IS 'Process instances, as Flowable''s ACT_HI_PROCINST; times in UTC.';
COMMENT ON COLUMN flowable.act_hi_procinst.rev_ IS 'Not kept: null.';
COMMENT ON COLUMN flowable.act_hi_procinst.state_ IS 'As the engine says it, or else running, cancelled or completed, as it stands.';
COMMENT ON COLUMN flowable.act_hi_procinst.source_ IS 'Name of the engine.';
COMMENT ON COLUMN flowable.act_hi_procinst.flowinstanceid IS 'As flowstate.flowinstanceid; ask by it.';

CREATE VIEW flowable.act_hi_actinst AS
    SELECT s.stepid AS id_,
           NULL::integer AS rev_,
           m.said ->> 'processDefinitionId' AS proc_def_id_,
           flowable.id(s.flowinstanceid) AS proc_inst_id_,
           m.said ->> 'executionId' AS execution_id_,
           s.taskname AS act_id_,
           r.said ->> 'taskId' AS task_id_,
           COALESCE(flowable.id(s.subflowid), r.said ->> 'calledProcessInstanceId') AS call_proc_inst_id_,
           m.said ->> 'activityName' AS act_name_,
           m.said ->> 'activityType' AS act_type_,
           r.said ->> 'assignee' AS assignee_,
           s.starttime AS start_time_,
           s.endtime AS end_time_,
           flowable.as_integer(m.said ->> 'transactionOrder') AS transaction_order_,
           flowable.ms(s.starttime, s.endtime) AS duration_,
           r.said ->> 'deleteReason' AS delete_reason_,
           COALESCE(m.said ->> 'tenantId', '') AS tenant_id_,
           r.said ->> 'completedBy' AS completed_by_,
           flowable.source(s.flowinstanceid) AS source_,
           s.flowinstanceid
    FROM steps s CROSS JOIN LATERAL (SELECT flowable.fields(s.misc) AS said OFFSET 0) m CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(e.key, e.value ORDER BY v.run, v.revision, v.name COLLATE "C") AS said
        FROM ft_variable v CROSS JOIN LATERAL jsonb_each(flowable.fields(v.value)) e
        WHERE v.flowinstanceid = s.flowinstanceid AND v.scope = '@step:' || s.stepid
    ) r
    -- A step of Flowable says first of what type its activity is; the index ft_steps_flowable has the same condition.
    WHERE substr(s.misc, 1, 16) = '\x7b22616374697669747954797065223a'::bytea;
COMMENT ON VIEW flowable.act_hi_actinst IS 'Activity instances, as Flowable''s ACT_HI_ACTINST; times in UTC. Not those whose payloads are not kept any more.';
COMMENT ON COLUMN flowable.act_hi_actinst.rev_ IS 'Not kept: null.';
COMMENT ON COLUMN flowable.act_hi_actinst.source_ IS 'Name of the engine.';
COMMENT ON COLUMN flowable.act_hi_actinst.flowinstanceid IS 'As steps.flowinstanceid; ask by it.';

CREATE VIEW flowable.act_hi_taskinst AS
    SELECT substr(t.scope, 7) AS id_,
           NULL::integer AS rev_,
           t.said ->> 'processDefinitionId' AS proc_def_id_,
           t.said ->> 'taskDefinitionId' AS task_def_id_,
           t.said ->> 'taskDefinitionKey' AS task_def_key_,
           flowable.id(t.flowinstanceid) AS proc_inst_id_,
           t.said ->> 'executionId' AS execution_id_,
           t.said ->> 'scopeId' AS scope_id_,
           t.said ->> 'subScopeId' AS sub_scope_id_,
           t.said ->> 'scopeType' AS scope_type_,
           t.said ->> 'scopeDefinitionId' AS scope_definition_id_,
           t.said ->> 'propagatedStageInstanceId' AS propagated_stage_inst_id_,
           t.said ->> 'name' AS name_,
           t.said ->> 'parentTaskId' AS parent_task_id_,
           t.said ->> 'description' AS description_,
           t.said ->> 'owner' AS owner_,
           t.said ->> 'assignee' AS assignee_,
           t.start AS start_time_,
           flowable.as_utc(t.said ->> 'claimTime') AS claim_time_,
           t.done AS end_time_,
           flowable.ms(t.start, t.done) AS duration_,
           t.said ->> 'deleteReason' AS delete_reason_,
           flowable.as_integer(t.said ->> 'priority') AS priority_,
           flowable.as_utc(t.said ->> 'dueDate') AS due_date_,
           t.said ->> 'formKey' AS form_key_,
           t.said ->> 'category' AS category_,
           COALESCE(t.said ->> 'tenantId', '') AS tenant_id_,
           flowable.as_utc(t.said ->> 'lastUpdatedTime') AS last_updated_time_,
           t.said ->> 'state' AS state_,
           flowable.as_utc(t.said ->> 'inProgressTime') AS in_progress_time_,
           t.said ->> 'inProgressStartedBy' AS in_progress_started_by_,
           t.said ->> 'claimedBy' AS claimed_by_,
           flowable.as_utc(t.said ->> 'suspendedTime') AS suspended_time_,
           t.said ->> 'suspendedBy' AS suspended_by_,
           t.said ->> 'completedBy' AS completed_by_,
           flowable.as_utc(t.said ->> 'inProgressDueDate') AS in_progress_due_date_,
           flowable.source(t.flowinstanceid) AS source_,
           t.flowinstanceid
    FROM (
        SELECT p.flowinstanceid, p.scope, p.said, flowable.as_utc(p.said ->> 'createTime') AS start,
               flowable.as_utc(p.said ->> 'endTime') AS done
        FROM (
            SELECT v.flowinstanceid, v.scope,
                   jsonb_object_agg(e.key, e.value ORDER BY v.run, v.revision, v.name COLLATE "C") FILTER (WHERE e.key IS NOT NULL) AS said
            FROM ft_variable v LEFT JOIN LATERAL jsonb_each(flowable.fields(v.value)) e ON true
            WHERE starts_with(v.scope, '@task:')
            GROUP BY v.flowinstanceid, v.scope
            -- A task that was deleted is one whose creation was removed.
            HAVING NOT bool_or(v.removed AND v.name = 'created')
        ) p
    ) t;
COMMENT ON VIEW flowable.act_hi_taskinst IS 'Tasks, as Flowable''s ACT_HI_TASKINST; times in UTC.';
COMMENT ON COLUMN flowable.act_hi_taskinst.rev_ IS 'Not kept: null.';
COMMENT ON COLUMN flowable.act_hi_taskinst.source_ IS 'Name of the engine.';
COMMENT ON COLUMN flowable.act_hi_taskinst.flowinstanceid IS 'As ft_variable.flowinstanceid; ask by it.';

CREATE VIEW flowable.act_hi_varinst AS
    SELECT v.variableid AS id_,
           flowable.as_integer(m.said ->> 'revision') AS rev_,
           flowable.id(v.flowinstanceid) AS proc_inst_id_,
           COALESCE(m.said ->> 'executionId', CASE WHEN v.scope = '' THEN flowable.id(v.flowinstanceid)
               WHEN starts_with(v.scope, 'execution:') THEN substr(v.scope, 11) END) AS execution_id_,
           COALESCE(m.said ->> 'taskId', CASE WHEN starts_with(v.scope, 'task:') THEN substr(v.scope, 6) END) AS task_id_,
           v.name AS name_,
           v.type AS var_type_,
           m.said ->> 'scopeId' AS scope_id_,
           m.said ->> 'subScopeId' AS sub_scope_id_,
           m.said ->> 'scopeType' AS scope_type_,
           NULL::text AS bytearray_id_,
           flowable.as_double(m.said ->> 'doubleValue') AS double_,
           flowable.as_long(m.said ->> 'longValue') AS long_,
           m.said ->> 'textValue' AS text_,
           m.said ->> 'textValue2' AS text2_,
           m.said ->> 'metaInfo' AS meta_info_,
           v.createdat AS create_time_,
           v.updatedat AS last_updated_time_,
           flowable.source(v.flowinstanceid) AS source_,
           v.flowinstanceid
    FROM ft_variable v CROSS JOIN LATERAL (SELECT flowable.fields(v.misc) AS said OFFSET 0) m
    WHERE NOT v.removed AND NOT starts_with(v.scope, '@')
        AND EXISTS (SELECT FROM ft_variable p WHERE p.flowinstanceid = v.flowinstanceid AND p.scope = '@process');
COMMENT ON VIEW flowable.act_hi_varinst IS 'Variables, as Flowable''s ACT_HI_VARINST; times in UTC.';
COMMENT ON COLUMN flowable.act_hi_varinst.bytearray_id_ IS 'There is no table of byte arrays: null; ft_variable.value has the bytes.';
COMMENT ON COLUMN flowable.act_hi_varinst.source_ IS 'Name of the engine.';
COMMENT ON COLUMN flowable.act_hi_varinst.flowinstanceid IS 'As ft_variable.flowinstanceid; ask by it.';
