-- Whose an activity or a task is that an engine names by its own id alone: by the scope of a part of its record.
CREATE INDEX CONCURRENTLY ft_variable_thing ON ft_variable (scope) WHERE scope LIKE '@step:%' OR scope LIKE '@task:%';
