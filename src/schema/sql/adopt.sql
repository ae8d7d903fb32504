-- Columns that the Go service's tables got in its later versions, for tables that an older one made. No row is rewritten.
ALTER TABLE IF EXISTS flowstate
    ADD COLUMN IF NOT EXISTS rerunofflowinstanceid text,
    ADD COLUMN IF NOT EXISTS flowinput             bytea,
    ADD COLUMN IF NOT EXISTS flowoutput            bytea,
    ADD COLUMN IF NOT EXISTS reruncount            integer;
