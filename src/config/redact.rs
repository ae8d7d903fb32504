//! What may not be shown, and what is shown instead.

use std::borrow::Cow;

/// What stands where a secret was.
pub(super) const MASK: &str = "***";

/// Parts of librdkafka's names whose values are shown to nobody.
const SECRET_PARTS: [&str; 7] =
    ["password", "passphrase", "secret", "sasl.jaas", "sasl.oauthbearer.config", "key.pem", "token"];

/// Whether the value of this librdkafka setting is a secret.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_PARTS.iter().any(|part| key.contains(part))
}

/// A connection string with its password masked; all of it where it can't be told what is the password.
pub fn redact_url(url: &str) -> Cow<'_, str> {
    let Some(rest) = super::connection::url_behind_scheme(url) else {
        return redact_words(url).map_or(Cow::Borrowed(MASK), Cow::Owned);
    };
    let scheme = url.strip_suffix(rest).unwrap_or_default();
    // A password may hold an unescaped @: everything up to the last one is the credentials.
    let (credentials, address) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (address, parameters) = address.split_once('?').unwrap_or((address, ""));
    let mut shown = scheme.to_owned();
    if !credentials.is_empty() {
        let (user, password) =
            credentials.split_once(':').map_or((credentials, false), |(user, _)| (user, true));
        shown.push_str(user);
        if password {
            shown.push(':');
            shown.push_str(MASK);
        }
        shown.push('@');
    }
    shown.push_str(address);
    for (number, parameter) in parameters.split('&').filter(|parameter| !parameter.is_empty()).enumerate() {
        shown.push(if number == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            // A name that is escaped hides what it is.
            Some((name, _)) if is_hidden(name) || name.contains('%') => {
                shown.push_str(name);
                shown.push('=');
                shown.push_str(MASK);
            }
            _ => shown.push_str(parameter),
        }
    }
    Cow::Owned(shown)
}

/// Whether a parameter of a connection string may be a secret. A key may be the text itself, escaped in some way.
fn is_hidden(name: &str) -> bool {
    is_secret(name) || name.eq_ignore_ascii_case("sslkey")
}

/// The form `host=… password='…'`, or nothing where it can't be read.
fn redact_words(text: &str) -> Option<String> {
    let shown = super::connection::words(text)?.into_iter().map(|(name, value)| {
        // Certificates are no secret, but too long to be shown.
        let hide = is_hidden(&name) || super::pem::is_text(&value);
        let value = if hide { MASK.to_owned() } else { value };
        super::connection::word(&name, &value)
    });
    Some(shown.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_masked_wherever_it_stands() {
        for url in [
            "postgres://ann:hunter2@db:5432/flows",
            "postgresql://ann:hun@ter2@db/flows",
            "postgres://ann:a/hunter2?x@db/flows",
            "postgres://db/flows?user=ann&password=hunter2&sslmode=require",
            "postgres://db/flows?p%61ssword=hunter2",
            "host=db user=ann password=hunter2",
            "host=db user=ann password='a hunter2'",
            "host=db user=ann password = 'it\\'s hunter2' dbname=flows",
            "hunter2",
            "host=db password='hunter2",
            "host=db password=hunter2://x",
            "mysql://db/flows?hunter2",
            "host=db sslcert=/me.pem sslkey='-----BEGIN PRIVATE KEY----- hunter2'",
            "postgres://db/flows?sslcert=/me.pem&sslkey=%2D%2D%2D%2D%2DBEGIN%20hunter2",
        ] {
            let shown = redact_url(url);
            assert!(!shown.contains("hunter2") && !shown.contains("ter2"), "{url} shows as {shown}");
            assert!(shown.contains(MASK), "{shown}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_readable() {
        assert_eq!(
            redact_url("postgres://ann:x@db:5432/flows?sslmode=require"),
            "postgres://ann:***@db:5432/flows?sslmode=require"
        );
        assert_eq!(redact_url("postgres://ann@db/flows"), "postgres://ann@db/flows");
        assert_eq!(redact_url("host=db port=5432"), "host=db port=5432");
        assert!(!is_secret("sasl.username"));
        assert!(!is_secret("security.protocol"));
    }

    #[test]
    fn librdkafkas_secrets_are_known_by_their_names() {
        for key in [
            "sasl.password",
            "SASL.PASSWORD",
            "ssl.key.password",
            "ssl.key.pem",
            "sasl.oauthbearer.client.secret",
            "sasl.jaas.config",
            "sasl.oauthbearer.assertion.private.key.passphrase",
        ] {
            assert!(is_secret(key), "{key}");
        }
    }
}
