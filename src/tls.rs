//! TLS by rustls: certificates that are read, that are judged, and what is said of one that is refused.

pub(crate) mod certificates;
pub(crate) mod refusal;
