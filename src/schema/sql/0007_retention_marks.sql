-- What retention removed is kept out as a deletion is, and has to be told from one: it is no difference between Kafka and
-- the tables, and may be forgotten once Kafka has nothing of the flow any more.
ALTER TABLE ft_tombstone ADD COLUMN removedat timestamp with time zone;
COMMENT ON COLUMN ft_tombstone.removedat IS 'When retention removed the instance; null if a runtime said that it is deleted.';
CREATE INDEX ft_tombstone_removed ON ft_tombstone (removedat) WHERE removedat IS NOT NULL;
