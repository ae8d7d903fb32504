//! `flowtrail lag`
