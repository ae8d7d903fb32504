-- Whose a variable is that an engine names by its own id alone.
CREATE INDEX CONCURRENTLY ft_variable_id ON ft_variable (variableid) WHERE variableid IS NOT NULL;
