//! Lag of a group.
