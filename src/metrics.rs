//! Prometheus metrics: every name, unit and help text of the program.
