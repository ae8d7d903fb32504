//! The tables and their changes.
