-- What retention removed is kept out as a deletion is, and has to be told from one: it is no difference between Kafka and
-- the tables, and may be forgotten once Kafka has nothing of the flow any more.
ALTER TABLE ft_tombstone ADD COLUMN removedat timestamp with time zone;
COMMENT ON COLUMN ft_tombstone.removedat IS 'When retention removed the instance; null if a runtime said that it is deleted.';
CREATE INDEX ft_tombstone_removed ON ft_tombstone (removedat) WHERE removedat IS NOT NULL;

-- Payloads may go before the rows that they belong to. Which ones are gone has to be known as long as the rows are there:
-- Kafka may say them again.
CREATE TABLE ft_payload_mark (
    flowinstanceid text PRIMARY KEY,
    before         bigint NOT NULL,
    removedat      timestamp with time zone
);
COMMENT ON TABLE ft_payload_mark IS 'Instances whose rows are kept without payloads; what comes of them is stored without, too.';
COMMENT ON COLUMN ft_payload_mark.flowinstanceid IS 'Flow instance.';
COMMENT ON COLUMN ft_payload_mark.before IS 'Runs and executions below this number are kept without payloads.';
COMMENT ON COLUMN ft_payload_mark.removedat IS 'When those that were stored had been removed; null until then.';
CREATE INDEX ft_payload_mark_begun ON ft_payload_mark (flowinstanceid) WHERE removedat IS NULL;
