//! What text may be, setting by setting; a sentence says what would have been right.

use crate::flowable;

pub(super) fn check_claim(text: &str) -> Result<(), String> {
    if text.is_empty() { Err("want the name of a claim".to_owned()) } else { Ok(()) }
}

pub(super) fn check_brokers(text: &str) -> Result<(), String> {
    text.split(',').try_for_each(|broker| {
        let broker = broker.trim();
        let address = broker.split_once("://").map_or(broker, |(_, address)| address);
        let (host, port) = match address.rsplit_once(':') {
            // An IPv6 address without a port ends in its bracket.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (address, None),
        };
        let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        if host.is_empty() || host.contains(char::is_whitespace) || !port_fits {
            return Err(format!("want host:port,… with ports from 1 to 65535, not \"{broker}\""));
        }
        Ok(())
    })
}

pub(super) fn check_optional_topic(topic: &str) -> Result<(), String> {
    if topic.is_empty() { Ok(()) } else { check_one_topic(topic) }
}

pub(super) fn check_one_topic(topic: &str) -> Result<(), String> {
    if topic.starts_with('^') {
        return Err("want the name of a topic, not a regular expression".to_owned());
    }
    check_topic(topic)
}

pub(super) fn check_topic(name: &str) -> Result<(), String> {
    if name.starts_with('^') {
        return Ok(());
    }
    let fits = (1..=249).contains(&name.len())
        && !matches!(name, "." | "..")
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if fits {
        return Ok(());
    }
    Err(format!(
        "\"{name}\" can't be a topic: want 1 to 249 of letters, digits, '.', '_' and '-', or a regular expression \
         that begins with ^"
    ))
}

pub(super) fn check_group(name: &str) -> Result<(), String> {
    if (1..=255).contains(&name.len()) && !name.contains(char::is_control) {
        return Ok(());
    }
    Err("want a group name of 1 to 255 bytes without control characters".to_owned())
}

pub(super) fn check_listen(text: &str) -> Result<(), String> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    if matches!(port, Some(Ok(_))) {
        return Ok(());
    }
    Err(format!("want host:port with a port from 0 to 65535, not \"{text}\""))
}

/// The address of an HTTP service, or nothing.
pub(crate) fn check_service(text: &str) -> Result<(), String> {
    let behind = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let has_host = behind.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':']));
    // A password would be shown by `config print`, and a query would stand before the path.
    let is_plain = !text.contains(['@', '?', '#']) && !text.contains(char::is_whitespace);
    if text.is_empty() || (has_host && is_plain && text.parse::<axum::http::Uri>().is_ok()) {
        return Ok(());
    }
    Err("want http://host:port or https://host:port, without user, password and query".to_owned())
}

/// The name of an engine.
pub(crate) fn check_source(text: &str) -> Result<(), String> {
    if flowable::is_source(text) {
        return Ok(());
    }
    Err(format!("want 1 to 64 letters, digits, '-', '_' and '.', not \"{text}\""))
}
