CREATE TABLE IF NOT EXISTS ft_schema_change (
    number    integer PRIMARY KEY,
    name      text NOT NULL,
    checksum  bytea NOT NULL,
    needs     integer NOT NULL,
    appliedat timestamp with time zone NOT NULL DEFAULT now(),
    appliedby text NOT NULL DEFAULT current_user
);
COMMENT ON TABLE ft_schema_change IS 'Changes that made these tables what they are.';
COMMENT ON COLUMN ft_schema_change.number IS 'Number of the change.';
COMMENT ON COLUMN ft_schema_change.name IS 'What it is about.';
COMMENT ON COLUMN ft_schema_change.checksum IS 'SHA-256 of its text.';
COMMENT ON COLUMN ft_schema_change.needs IS 'A program works with it if it knows at least the change of this number.';
COMMENT ON COLUMN ft_schema_change.appliedat IS 'When it was applied.';
COMMENT ON COLUMN ft_schema_change.appliedby IS 'Database user who applied it.';
