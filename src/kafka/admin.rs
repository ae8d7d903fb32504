//! Topics: create, describe.
