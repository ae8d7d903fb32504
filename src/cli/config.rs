//! `flowtrail config`
