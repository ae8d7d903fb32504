-- Flowable's activity instances by their start, as its own table has them. The condition is that of flowable.act_hi_actinst; of
-- other runtimes there is no step in it.
CREATE INDEX CONCURRENTLY ft_steps_flowable ON steps (starttime) WHERE substr(misc, 1, 16) = '\x7b22616374697669747954797065223a'::bytea;
