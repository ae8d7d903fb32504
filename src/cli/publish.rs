//! `flowtrail publish`
