//! `flowtrail flow`
