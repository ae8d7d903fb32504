//! `flowtrail schema`
