//! Tokens of an identity provider (OIDC): who they are for and what they allow, without asking the provider each time.
//!
//! A token is a JWT. Its signature is checked by a key of the provider ([`keys`]), its issuer, audience, end and beginning
//! against the configuration. Algorithms are asymmetric ones only, so that nobody who knows the provider's public keys can
//! make a token.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, errors::ErrorKind};
use serde_json::Value;

use super::{Caller, Role};
use crate::config;

mod keys;
mod signature;

use self::keys::Keys;

/// How roles are named in a token, so that those of other programs are not taken for ours: `flowtrail-read`.
const ROLE_PREFIX: &str = "flowtrail-";

/// A role that lifts the limit to one user, where tokens have one (`http.oidc_user_claim`).
const ALL_USERS: &str = "flowtrail-all-users";

/// What is taken; each with a key of its family.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Why a token does not let anybody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is not right, in words for who sent it.
    Wrong(String),
    /// Whether it is right can't be told now: the provider's keys can't be had.
    Unknown(String),
}

/// How tokens are configured to be checked is not enough to check them.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// Tokens for others would be taken.
    #[error(
        "http.oidc_issuer is set and http.oidc_audience is not: tokens for other programs would be taken"
    )]
    NoAudience,
}

/// Checks tokens of one provider.
#[derive(Debug)]
pub struct Oidc {
    keys: Keys,
    validation: Validation,
    roles_claim: String,
    user_claim: String,
}

impl Oidc {
    /// As it is configured. The provider is asked when the first token comes.
    pub fn new(http: &config::Http) -> Result<Self, OidcError> {
        signature::install();
        if http.oidc_audience.is_empty() {
            return Err(OidcError::NoAudience);
        }
        let mut validation =
            Validation { leeway: http.oidc_leeway_s, validate_nbf: true, ..Validation::default() };
        validation.set_issuer(&[&http.oidc_issuer]);
        validation.set_audience(&[&http.oidc_audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        Ok(Self {
            keys: Keys::new(&http.oidc_issuer, &http.oidc_jwks_url),
            validation,
            roles_claim: http.oidc_roles_claim.clone(),
            user_claim: http.oidc_user_claim.clone(),
        })
    }

    /// Whom a token stands for. Waits for the provider only where its key is not known yet.
    pub async fn caller(&self, token: &str) -> Result<Caller, Refusal> {
        let wrong = |why: &str| Refusal::Wrong(why.to_owned());
        let header =
            decode_header(token).map_err(|_| wrong("the token is no JWT of a kind that is taken"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(wrong("the token is signed by an algorithm that is not taken"));
        }
        let key = self.keys.find(header.kid.as_deref(), header.alg).await.map_err(Refusal::Unknown)?;
        let key = key.ok_or_else(|| wrong("the token is signed by a key that its issuer does not have"))?;
        let claims = self.verified(token, header.alg, &key).map_err(|why| wrong(&why))?;
        self.of(&claims).map_err(wrong)
    }

    fn verified(&self, token: &str, algorithm: Algorithm, key: &DecodingKey) -> Result<Value, String> {
        let mut validation = self.validation.clone();
        validation.algorithms = vec![algorithm];
        let checked = decode::<Value>(token, key, &validation);
        checked.map(|token| token.claims).map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => "the token has expired".to_owned(),
            ErrorKind::ImmatureSignature => "the token is not valid yet".to_owned(),
            ErrorKind::InvalidAudience => "the token is for another audience".to_owned(),
            ErrorKind::InvalidIssuer => "the token is of another issuer".to_owned(),
            ErrorKind::MissingRequiredClaim(claim) => format!("the token has no {claim}"),
            _ => "the token's signature is not right".to_owned(),
        })
    }

    fn of(&self, claims: &Value) -> Result<Caller, &'static str> {
        let words = words(at(claims, &self.roles_claim));
        let roles = Role::ALL
            .into_iter()
            .filter(|role| words.iter().any(|word| word.strip_prefix(ROLE_PREFIX) == Some(role.word())));
        let text = |path: &str| at(claims, path).and_then(Value::as_str).filter(|text| !text.is_empty());
        let user = if self.user_claim.is_empty() || words.contains(&ALL_USERS) {
            None
        } else {
            Some(text(&self.user_claim).ok_or("the token does not say for which user it is")?)
        };
        let name = user.or_else(|| text("preferred_username")).or_else(|| text("sub"));
        let name = name.ok_or("the token does not say whom it is of")?;
        Ok(Caller { name: name.to_owned(), roles: roles.collect(), user: user.map(str::to_owned) })
    }
}

/// What lies at a path such as `realm_access.roles`; a claim whose name has dots is taken as it is.
fn at<'a>(claims: &'a Value, path: &str) -> Option<&'a Value> {
    claims.get(path).or_else(|| path.split('.').try_fold(claims, |value, name| value.get(name)))
}

/// The words of a list, or of a text with spaces, as in `scope`.
fn words(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(text)) => text.split_whitespace().collect(),
        _ => Vec::new(),
    }
}
