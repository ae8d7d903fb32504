//! TLS by rustls: certificates that are read, judged and shown, and what is said of one that is refused.

pub(crate) mod certificates;
pub(crate) mod identity;
pub(crate) mod refusal;
