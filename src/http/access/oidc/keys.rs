//! The keys of a provider, fetched when they are needed and kept for a while.

use std::{
    io::Read as _,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};
use serde::Deserialize;
use tokio::{sync::Mutex, task::spawn_blocking};
use ureq::Agent;

use crate::{clock, sentence::with_causes};

/// How long keys are used before they are fetched again: as long as a key that was withdrawn is still taken.
const FRESH: Duration = Duration::from_mins(10);

/// How often the provider is asked at most, however many tokens come with keys that nobody knows.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// How long the provider may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// As much of an answer as is read. A key is less than a kilobyte.
const MOST_ANSWER: u64 = 1 << 20;

/// What is read of `/.well-known/openid-configuration`.
#[derive(Debug, Deserialize)]
struct Discovered {
    jwks_uri: String,
}

/// Where the keys are.
#[derive(Debug, Clone)]
enum Place {
    Keys(String),
    Discovery(String),
}

/// The keys that are known.
#[derive(Debug, Default)]
struct Known {
    keys: Vec<Jwk>,
    fetched: Option<Instant>,
}

/// The keys of one provider.
#[derive(Debug)]
pub(super) struct Keys {
    agent: Agent,
    place: Place,
    known: RwLock<Arc<Known>>,
    /// When the provider was last asked, and why it did not answer. Held while it is asked: the others wait for that answer.
    asked: Mutex<Option<(Instant, Option<String>)>>,
}

impl Keys {
    /// At this address or, without one, where the issuer says that they are.
    pub(super) fn new(issuer: &str, jwks_url: &str) -> Self {
        let config = Agent::config_builder().timeout_global(Some(PATIENCE)).max_redirects(0).build();
        let discovery = || format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let place = match jwks_url {
            "" => Place::Discovery(discovery()),
            url => Place::Keys(url.to_owned()),
        };
        Self {
            agent: Agent::new_with_config(config),
            place,
            known: RwLock::default(),
            asked: Mutex::default(),
        }
    }

    /// The key of this name for this algorithm, or the only one for it if the token names none; nothing where the provider has
    /// no such key. Fails, with a sentence, where the provider can't be asked and the key is not known.
    pub(super) async fn find(
        &self,
        name: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Option<DecodingKey>, String> {
        let known = self.known();
        let is_fresh = known.fetched.is_some_and(|fetched| fetched.elapsed() < FRESH);
        let found = chosen(&known.keys, name, algorithm);
        if found.is_some() && is_fresh {
            return Ok(found);
        }
        // A provider that is away for a moment does not lock anybody out whose key is known.
        match self.refresh().await {
            Ok(()) => Ok(chosen(&self.known().keys, name, algorithm)),
            Err(_) if found.is_some() => Ok(found),
            Err(why) => Err(why),
        }
    }

    fn known(&self) -> Arc<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches the keys, unless that was tried a moment ago; then what came of that holds.
    async fn refresh(&self) -> Result<(), String> {
        let mut asked = self.asked.lock().await;
        if let Some((when, trouble)) = &*asked
            && when.elapsed() < ASK_EVERY
        {
            return trouble.clone().map_or(Ok(()), Err);
        }
        let (agent, place) = (self.agent.clone(), self.place.clone());
        let fetched = spawn_blocking(move || fetch(&agent, &place)).await;
        let fetched = fetched.unwrap_or_else(|_| Err("asking was given up".to_owned()));
        let now = clock::monotonic();
        let trouble = match fetched {
            Ok(keys) => {
                let known = Arc::new(Known { keys, fetched: Some(now) });
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
                None
            }
            Err(why) => {
                tracing::error!(
                    event = "keys_not_read",
                    why,
                    "the keys of the identity provider can't be had"
                );
                Some(why)
            }
        };
        *asked = Some((now, trouble.clone()));
        trouble.map_or(Ok(()), Err)
    }
}

fn chosen(keys: &[Jwk], name: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
    let fits = |key: &&Jwk| {
        let of_family = DecodingKey::from_jwk(key).is_ok_and(|key| key.family() == algorithm.family());
        let named = name.is_none_or(|name| key.common.key_id.as_deref() == Some(name));
        let other_algorithm =
            key.common.key_algorithm.is_some_and(|own| own.to_string() != format!("{algorithm:?}"));
        let for_secrecy = key.common.public_key_use == Some(PublicKeyUse::Encryption);
        of_family && named && !other_algorithm && !for_secrecy
    };
    let mut fitting = keys.iter().filter(fits);
    let first = fitting.next()?;
    // Without a name there must be no choice.
    if name.is_none() && fitting.next().is_some() {
        return None;
    }
    DecodingKey::from_jwk(first).ok()
}

/// Blocks for as long as the provider takes.
fn fetch(agent: &Agent, place: &Place) -> Result<Vec<Jwk>, String> {
    let url = match place {
        Place::Keys(url) => url.clone(),
        Place::Discovery(url) => read::<Discovered>(agent, url)?.jwks_uri,
    };
    read::<JwkSet>(agent, &url).map(|set| set.keys)
}

fn read<T: serde::de::DeserializeOwned>(agent: &Agent, url: &str) -> Result<T, String> {
    let told = |error: &dyn std::error::Error| format!("{url}: {}", with_causes(error));
    let answer = agent.get(url).call().map_err(|error| told(&error))?;
    let mut body = Vec::new();
    let read = answer.into_body().into_reader().take(MOST_ANSWER).read_to_end(&mut body);
    read.map_err(|error| told(&error))?;
    serde_json::from_slice(&body).map_err(|error| told(&error))
}
