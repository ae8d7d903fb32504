//! Tokens for SASL/OAUTHBEARER, from a file that somebody else keeps fresh.
//!
//! librdkafka could fetch tokens itself only if it were built with libcurl. So `sasl.oauthbearer.config` says
//! `file=/path`, and librdkafka asks again when four fifths of a token's time are over.

use std::{error, fs};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use rdkafka::client::OAuthToken;
use serde::Deserialize;

use crate::clock;

/// When the file is read again if its token does not say when it ends.
const UNKNOWN_LIFETIME_MS: i64 = 300_000;

/// What is read of a token that is a JWT. Whether it holds is for the brokers to say.
#[derive(Debug, Default, Deserialize)]
struct Claims {
    /// Seconds since 1970; some issuers write them with a fraction.
    exp: Option<f64>,
    sub: Option<String>,
}

/// The token of the file that `sasl.oauthbearer.config` names. The error is a sentence that holds nothing of the token.
pub(super) fn read(config: Option<&str>) -> Result<OAuthToken, Box<dyn error::Error>> {
    let path = config.and_then(|config| config.trim().strip_prefix("file=")).ok_or(
        "where the token is has to be said: sasl.oauthbearer.config = \"file=/path\" under [kafka.librdkafka]",
    )?;
    let text = fs::read_to_string(path)
        .map_err(|error| format!("the token in {path} (sasl.oauthbearer.config) can't be read: {error}"))?;
    token(text.trim(), clock::now()).map_err(|why| format!("the token in {path} {why}").into())
}

fn token(text: &str, now: Timestamp) -> Result<OAuthToken, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    let Claims { exp, sub } = claims(text).unwrap_or_default();
    #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "it saturates")]
    let ends = exp.map(|seconds| (seconds * 1_000.0) as i64);
    let lifetime_ms = ends.unwrap_or_else(|| now.as_millisecond() + UNKNOWN_LIFETIME_MS);
    if lifetime_ms <= now.as_millisecond() {
        let when = Timestamp::from_millisecond(lifetime_ms).map(|when| when.to_string());
        return Err(format!("ended at {}", when.as_deref().unwrap_or("no time that there is")));
    }
    // librdkafka wants a name, and shows it nowhere; the brokers take theirs from the token.
    let principal_name = sub.unwrap_or_else(|| "flowtrail".to_owned());
    Ok(OAuthToken { token: text.to_owned(), principal_name, lifetime_ms })
}

/// The middle piece of a JWT; nothing of a token that is none.
fn claims(token: &str) -> Option<Claims> {
    let mut pieces = token.split('.');
    let (Some(_), Some(claims), Some(_), None) = (pieces.next(), pieces.next(), pieces.next(), pieces.next())
    else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

    fn jwt(claims: &str) -> String {
        format!("e30.{}.", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_jwt_says_until_when_it_is_to_be_used_and_for_whom() {
        let read = token(&jwt(r#"{"exp":1700000060.5,"sub":"ann","iat":1}"#), NOW).unwrap();
        assert_eq!((read.lifetime_ms, read.principal_name.as_str()), (1_700_000_060_500, "ann"));
    }

    #[test]
    fn a_token_that_says_nothing_is_read_again_after_five_minutes() {
        for opaque in ["opaque", "a.b", "a.b.c.d", "a.!.c"] {
            assert_eq!(token(opaque, NOW).unwrap().lifetime_ms, 1_700_000_300_000, "{opaque}");
        }
    }

    #[test]
    fn what_is_no_token_to_log_in_with_is_refused_without_showing_it() {
        assert_eq!(token("", NOW).err().unwrap(), "is empty");
        let ended = token(&jwt(r#"{"exp":1700000000}"#), NOW).err().unwrap();
        assert_eq!(ended, "ended at 2023-11-14T22:13:20Z");
        assert!(read(None).err().unwrap().to_string().contains("sasl.oauthbearer.config"));
        assert!(read(Some("file=/nowhere/token")).err().unwrap().to_string().contains("/nowhere/token"));
    }
}
