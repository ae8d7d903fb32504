-- Flows that run, for ftv_running and ftv_stuck: a few of millions.
CREATE INDEX CONCURRENTLY ft_flowstate_open ON flowstate (starttime) WHERE phase < 2;
