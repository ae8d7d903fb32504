//! Client settings shared by all.
