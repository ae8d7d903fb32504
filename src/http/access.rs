//! Who may ask what: one way for everything that is served.
//!
//! There are three ways in. *Tokens*: who asks sends `Authorization: Bearer …`, and [`tokens`] says what that token may do
//! and for which user; or it is one of an identity provider, and says so itself ([`oidc`]). *Proxy*: whoever stands before the server has checked who asks and names the user in the header
//! `username` (`http.trust_username_header`). *Open*: neither is configured; then only a loopback address is served.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod failures;
pub mod oidc;
pub mod tokens;

use self::{
    failures::Failures,
    oidc::{Oidc, OidcError, Refusal},
    tokens::Tokens,
};
use crate::{clock, config, metrics};

/// Header in which a Flogo app, or what stands before it, says for whom it asks.
pub const USER_HEADER: &str = "username";

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See what is stored
    Read,
    /// Post history, as an app does
    Record,
    /// Delete, switch apps, ask for re-runs
    Operate,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Record, Self::Operate];

    /// Its word in a file of tokens.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Record => "record",
            Self::Operate => "operate",
        }
    }
}

/// Who asks, as the middleware found out; an extension of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Name to write into an audit: the token's, or the user's.
    pub name: String,
    /// What the caller may do.
    pub roles: Vec<Role>,
    /// The only user whose history the caller may see and change; nothing where it may all.
    pub user: Option<String>,
}

/// How callers are told apart. A clone is the same.
#[derive(Debug, Clone)]
pub struct Access {
    way: Way,
    failures: Arc<Mutex<Failures>>,
}

#[derive(Debug, Clone)]
enum Way {
    Open,
    Proxy,
    Bearer(Option<Arc<Tokens>>, Option<Arc<Oidc>>),
    Nobody,
}

/// Why it can't be told who may ask.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There are no tokens where they should be.
    #[error(transparent)]
    Tokens(#[from] tokens::Error),
    /// Tokens of an identity provider can't be checked.
    #[error(transparent)]
    Oidc(#[from] OidcError),
}

impl Access {
    /// As it is configured; reads the file of tokens, if one is named.
    pub fn new(http: &config::Http) -> Result<Self, AccessError> {
        let file = Some(&http.tokens_file).filter(|file| !file.is_empty());
        let tokens = file.map(|file| Tokens::read(file.into())).transpose()?.map(Arc::new);
        let oidc = (!http.oidc_issuer.is_empty()).then(|| Oidc::new(http)).transpose()?.map(Arc::new);
        let way = match (tokens, oidc) {
            (None, None) if http.trust_username_header => Way::Proxy,
            (None, None) => Way::Open,
            (tokens, oidc) => Way::Bearer(tokens, oidc),
        };
        Ok(Self { way, failures: Arc::default() })
    }

    /// Whether anybody who reaches the address may do everything.
    pub fn is_open(&self) -> bool {
        matches!(self.way, Way::Open)
    }

    /// The same, but where everybody could do everything nobody can do anything.
    #[must_use]
    pub fn or_nobody(&self) -> Self {
        let way = if self.is_open() { Way::Nobody } else { self.way.clone() };
        Self { way, failures: self.failures.clone() }
    }

    /// Follows the file of tokens under `tasks` until `stop`, if there is one.
    pub fn start(&self, tasks: &TaskTracker, stop: CancellationToken) {
        if let Way::Bearer(Some(tokens), _) = &self.way {
            let tokens = tokens.clone();
            tasks.spawn(async move { tokens.follow(stop).await });
        }
    }

    /// Lets only callers through who have one of these roles, and tells the handlers who they are ([`Caller`]).
    pub fn guard(&self, routes: Router, roles: &'static [Role]) -> Router {
        routes.route_layer(middleware::from_fn_with_state((self.clone(), roles), check))
    }

    async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let anybody = |name: &str, user: Option<String>| Caller {
            name: user.clone().unwrap_or_else(|| name.to_owned()),
            roles: Role::ALL.to_vec(),
            user,
        };
        match &self.way {
            Way::Open => Ok(anybody("anybody", None)),
            // An app that records does not say who runs it, and a proxy that lets it through knows why.
            Way::Proxy => Ok(match user_of(headers) {
                Some(user) => anybody("", Some(user)),
                None => Caller { name: "an app".to_owned(), roles: vec![Role::Record], user: None },
            }),
            Way::Bearer(tokens, oidc) => {
                let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                let token = bearer.and_then(|value| value.split_once(' '));
                let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
                let wrong = |why: &str| Refusal::Wrong(why.to_owned());
                let (_, token) = token.ok_or_else(|| wrong("a token is needed: Authorization: Bearer …"))?;
                let token = token.trim();
                match (tokens, oidc) {
                    (_, Some(oidc)) if !token.starts_with(tokens::PREFIX) => oidc.caller(token).await,
                    (Some(tokens), _) => {
                        let known = tokens.caller(token, clock::now());
                        known.ok_or_else(|| wrong("the token is not known, or has expired"))
                    }
                    (None, _) => Err(wrong("the token is not known")),
                }
            }
            Way::Nobody => Err(Refusal::Wrong(
                "nobody can show who they are here: name a file of tokens (http.tokens_file), or set http.open_metrics"
                    .to_owned(),
            )),
        }
    }
}

/// The user that the headers name; nothing where they name none.
pub fn user_of(headers: &HeaderMap) -> Option<String> {
    let user = std::str::from_utf8(headers.get(USER_HEADER)?.as_bytes()).ok()?;
    (!user.is_empty()).then(|| user.to_owned())
}

async fn check(
    State((access, roles)): State<(Access, &'static [Role])>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(peer)| peer.ip().to_canonical());
    let refused = |code: StatusCode, why: &str| {
        metrics::http_refused(code.as_u16());
        (code, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{why}\n")).into_response()
    };
    let failures = || access.failures.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(wait) = peer.and_then(|peer| failures().waits(peer, clock::monotonic())) {
        let mut response = refused(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens from this address");
        response.headers_mut().insert(header::RETRY_AFTER, seconds(wait).into());
        return response;
    }
    let caller = match access.caller(request.headers()).await {
        Ok(caller) => caller,
        Err(Refusal::Unknown(why)) => {
            let why = format!("whether the token is right can't be told now: {why}");
            return refused(StatusCode::SERVICE_UNAVAILABLE, &why);
        }
        Err(Refusal::Wrong(why)) => {
            if let Some(peer) = peer {
                failures().note(peer, clock::monotonic());
            }
            let mut response = refused(StatusCode::UNAUTHORIZED, &why);
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            return response;
        }
    };
    if !roles.iter().any(|role| caller.roles.contains(role)) {
        let wanted: Vec<_> = roles.iter().map(|role| role.word()).collect();
        let why = format!("{} may not do this; it takes the role {}", caller.name, wanted.join(" or "));
        return refused(StatusCode::FORBIDDEN, &why);
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Full seconds, at least one.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs().max(1)
}

#[cfg(test)]
mod tests;
