-- What flows know by name: variables of a runtime, and parts of a runtime's own records that change or come late.
CREATE TABLE ft_variable (
    flowinstanceid text NOT NULL,
    scope          text NOT NULL,
    name           text NOT NULL,
    run            bigint NOT NULL,
    revision       bigint NOT NULL,
    removed        boolean NOT NULL,
    type           text,
    value          bytea,
    variableid     text,
    createdat      timestamp without time zone,
    updatedat      timestamp without time zone,
    misc           bytea,
    PRIMARY KEY (flowinstanceid, scope, name)
);
COMMENT ON TABLE ft_variable IS 'Variables of flow instances as they were last set or removed; also parts of records that a runtime keeps of instances, steps and tasks.';
COMMENT ON COLUMN ft_variable.flowinstanceid IS 'Flow instance.';
COMMENT ON COLUMN ft_variable.scope IS 'What has the variable, by the runtime''s own id; empty if that is the instance. Parts of records have one that begins with @.';
COMMENT ON COLUMN ft_variable.name IS 'Name of the variable, or of the part.';
COMMENT ON COLUMN ft_variable.run IS 'Number of the run that set it, as flowstate.run.';
COMMENT ON COLUMN ft_variable.revision IS 'Number of the change; a greater one is a later one (Flowable: its time in µs since 1970).';
COMMENT ON COLUMN ft_variable.removed IS 'It was removed; then it has no value.';
COMMENT ON COLUMN ft_variable.type IS 'The runtime''s word for what the value is.';
COMMENT ON COLUMN ft_variable.value IS 'Value: text as UTF-8, numbers as digits, JSON as it is, anything else as the runtime''s bytes; null if it was removed, is null, or is not kept any more.';
COMMENT ON COLUMN ft_variable.variableid IS 'The runtime''s own id of the variable.';
COMMENT ON COLUMN ft_variable.createdat IS 'When it was created, UTC, rounded to µs.';
COMMENT ON COLUMN ft_variable.updatedat IS 'When it was changed, UTC, rounded to µs.';
COMMENT ON COLUMN ft_variable.misc IS 'What else the runtime keeps of it, as JSON.';
