-- The newest runs of one flow: how long it usually takes is told by these.
CREATE INDEX CONCURRENTLY ft_flowstate_name ON flowstate (appname, flowname, starttime);
