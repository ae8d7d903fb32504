//! `flowtrail schema`: look at the tables and bring them up to date.
