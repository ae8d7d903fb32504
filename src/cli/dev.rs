//! `flowtrail dev`
