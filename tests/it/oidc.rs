//! Tokens of an identity provider, which is a small one of the test's own.

use std::{
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use flowtrail::{
    clock,
    config::{self, Config},
    http::{
        self, Role,
        access::oidc::{Oidc, Refusal},
    },
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    http_client::ask,
    program::{Process, configured},
    servers,
};

/// What it signs with, under the names `curve` and `rsa`.
struct Provider {
    issuer: String,
    curve: EcdsaKeyPair,
    rsa: RsaKeyPair,
    /// What it shows of them.
    keys: Arc<Mutex<Value>>,
    /// How often its keys were asked for.
    asked: Arc<AtomicUsize>,
    stop: Option<DropGuard>,
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Provider {
    async fn start() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let curve =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
        let made = openssl.stderr(Stdio::null()).output().expect("there is no openssl; install it");
        let PrivateKeyDer::Pkcs8(key) = PrivateKeyDer::from_pem_slice(&made.stdout).unwrap() else {
            panic!()
        };
        let rsa = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
        let point = curve.public_key().as_ref();
        let public = ring::signature::RsaPublicKeyComponents::<Vec<u8>>::from(rsa.public());
        let keys = json!({ "keys": [
            { "kty": "EC", "crv": "P-256", "kid": "curve", "use": "sig", "x": text(&point[1..33]), "y": text(&point[33..]) },
            { "kty": "RSA", "kid": "rsa", "alg": "RS256", "n": text(&public.n), "e": text(&public.e) },
            { "kty": "oct", "kid": "shared", "k": text(b"secret") },
        ]});
        let (asked, place) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(String::new())));
        let keys = Arc::new(Mutex::new(keys));
        let (counted, told, showing) = (asked.clone(), place.clone(), keys.clone());
        let shown = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::ready(showing.lock().unwrap().to_string())
        };
        let discovery = move || {
            let keys = format!("{}/keys", told.lock().unwrap());
            std::future::ready(json!({ "jwks_uri": keys }).to_string())
        };
        let router = Router::new()
            .route("/keys", get(shown))
            .route("/.well-known/openid-configuration", get(discovery));
        let stop = CancellationToken::new();
        let address = http::serve("127.0.0.1:0", router, stop.clone(), &TaskTracker::new()).await.unwrap();
        let issuer = format!("http://{address}");
        issuer.clone_into(&mut place.lock().unwrap());
        Self { issuer, curve, rsa, keys, asked, stop: Some(stop.drop_guard()) }
    }

    /// What a good token says.
    fn claims(&self) -> Value {
        let now = clock::now().as_second();
        json!({ "iss": self.issuer, "aud": "flowtrail", "sub": "ann", "iat": now, "exp": now + 300,
            "roles": ["flowtrail-read", "flowtrail-record", "operate", "other-operate"] })
    }

    fn by_curve(&self, name: &str, claims: &Value) -> String {
        let sign = |text: &[u8]| self.curve.sign(&SystemRandom::new(), text).unwrap().as_ref().to_vec();
        jwt(&json!({ "alg": "ES256", "kid": name }), claims, sign)
    }

    fn by_rsa(&self, header: &Value, claims: &Value) -> String {
        let sign = |text: &[u8]| {
            let mut signed = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signed).unwrap();
            signed
        };
        jwt(header, claims, sign)
    }

    /// A good token, changed in one claim.
    fn changed(&self, claim: &str, value: Value) -> String {
        let mut claims = self.claims();
        claims[claim] = value;
        self.by_curve("curve", &claims)
    }

    fn settings(&self) -> config::Http {
        config::Http {
            oidc_issuer: self.issuer.clone(),
            oidc_audience: "flowtrail".to_owned(),
            ..config::Http::default()
        }
    }
}

fn jwt(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", text(header.to_string().as_bytes()), text(claims.to_string().as_bytes()));
    format!("{signed}.{}", text(&sign(signed.as_bytes())))
}

#[tokio::test]
async fn a_token_of_the_provider_is_taken_with_its_roles_and_any_other_is_refused_with_the_reason() {
    let provider = Provider::start().await;
    let oidc = Oidc::new(&provider.settings()).unwrap();
    let (now, began) = (clock::now().as_second(), clock::monotonic());
    let good = oidc.caller(&provider.by_curve("curve", &provider.claims())).await.unwrap();
    assert_eq!((good.name.as_str(), good.user), ("ann", None));
    // Roles without the prefix are those of somebody else.
    assert_eq!(good.roles, [Role::Read, Role::Record]);
    let rsa = json!({ "alg": "RS256", "kid": "rsa" });
    for taken in [
        provider.by_rsa(&rsa, &provider.claims()),
        provider.changed("aud", json!(["other", "flowtrail"])),
        // The clocks may differ by a minute.
        provider.changed("exp", json!(now - 40)),
        provider.changed("nbf", json!(now + 40)),
    ] {
        oidc.caller(&taken).await.unwrap();
    }

    let by_nobody = |text: &[u8]| text[..0].to_vec();
    let public = provider.curve.public_key().as_ref().to_vec();
    let by_public_key = |text: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&public).unwrap();
        mac.update(text);
        mac.finalize().into_bytes().to_vec()
    };
    let by_shared = |text: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
        mac.update(text);
        mac.finalize().into_bytes().to_vec()
    };
    let claims = provider.claims();
    let good = provider.by_curve("curve", &claims);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let other_claims = provider.changed("sub", json!("eve"));
    let swapped = format!("{}.{signature}", other_claims.rsplit_once('.').unwrap().0);
    let mut without_end = claims.clone();
    without_end.as_object_mut().unwrap().remove("exp");
    for (token, why) in [
        (provider.changed("exp", json!(now - 90)), "has expired"),
        (provider.changed("nbf", json!(now + 90)), "not valid yet"),
        (provider.changed("aud", json!("other")), "another audience"),
        (provider.changed("iss", json!("http://other")), "another issuer"),
        (provider.by_curve("curve", &without_end), "has no exp"),
        (provider.by_curve("unknown", &claims), "a key that its issuer does not have"),
        (swapped, "signature is not right"),
        (format!("{head}."), "signature is not right"),
        (jwt(&json!({ "alg": "none" }), &claims, by_nobody), "no JWT of a kind that is taken"),
        (
            jwt(&json!({ "alg": "HS256", "kid": "curve" }), &claims, by_public_key),
            "an algorithm that is not taken",
        ),
        (
            jwt(&json!({ "alg": "HS256", "kid": "shared" }), &claims, by_shared),
            "an algorithm that is not taken",
        ),
        // A key is for its own algorithm and family.
        (
            provider.by_rsa(&json!({ "alg": "RS512", "kid": "rsa" }), &claims),
            "a key that its issuer does not have",
        ),
        (
            provider.by_rsa(&json!({ "alg": "RS256", "kid": "curve" }), &claims),
            "a key that its issuer does not have",
        ),
        ("ft_no.jwt".to_owned(), "no JWT"),
    ] {
        let Err(Refusal::Wrong(said)) = oidc.caller(&token).await else { panic!("taken: {why}") };
        assert!(said.contains(why), "{said}, not {why}");
    }
    // Whoever sends wrong tokens does not make us ask more often than every ten seconds.
    let most = 1 + usize::try_from(began.elapsed().as_secs() / 10).unwrap();
    assert!(provider.asked.load(Ordering::Relaxed) <= most);
}

#[tokio::test]
async fn a_provider_that_is_away_locks_nobody_out_whose_key_is_known() {
    let mut provider = Provider::start().await;
    let oidc = Oidc::new(&provider.settings()).unwrap();
    let token = provider.by_curve("curve", &provider.claims());
    oidc.caller(&token).await.unwrap();
    drop(provider.stop.take());
    oidc.caller(&token).await.unwrap();
    let nothing_known = Oidc::new(&provider.settings()).unwrap();
    servers::until("the provider is gone", async || match nothing_known.caller(&token).await {
        Err(Refusal::Unknown(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let mut settings = provider.settings();
    settings.oidc_audience.clear();
    assert!(Oidc::new(&settings).unwrap_err().to_string().contains("http.oidc_audience"));
}

#[tokio::test]
async fn a_key_that_the_provider_changes_to_is_taken_and_the_one_before_it_is_not_any_more() {
    let mut provider = Provider::start().await;
    let oidc = Oidc::new(&provider.settings()).unwrap();
    let before = provider.by_curve("curve", &provider.claims());
    oidc.caller(&before).await.unwrap();
    let Provider { curve: new, keys, .. } = Provider::start().await;
    let mut shown = keys.lock().unwrap().clone();
    shown["keys"][0]["kid"] = json!("next");
    *provider.keys.lock().unwrap() = shown;
    provider.curve = new;
    let after = provider.by_curve("next", &provider.claims());
    // It is asked for a key that nobody knows, every ten seconds at most.
    servers::until("the new key is known", async || match oidc.caller(&after).await {
        Ok(_) => Ok(()),
        Err(why) => Err(format!("{why:?}")),
    })
    .await;
    let Err(Refusal::Wrong(said)) = oidc.caller(&before).await else { panic!("the old key is taken") };
    assert!(said.contains("a key that its issuer does not have"), "{said}");
}

#[tokio::test]
async fn a_token_reaches_the_user_of_its_claim_unless_it_is_for_all() {
    let provider = Provider::start().await;
    let settings = config::Http {
        oidc_user_claim: "profile.login".to_owned(),
        oidc_roles_claim: "scope".to_owned(),
        oidc_jwks_url: format!("{}/keys", provider.issuer),
        ..provider.settings()
    };
    let oidc = Oidc::new(&settings).unwrap();
    let with = |scope: &str, profile: Value| {
        let mut claims = provider.claims();
        (claims["scope"], claims["profile"]) = (json!(scope), profile);
        provider.by_curve("curve", &claims)
    };
    let ann = oidc.caller(&with("openid flowtrail-read", json!({ "login": "ann@x" }))).await.unwrap();
    assert_eq!(
        (ann.name.as_str(), ann.user.as_deref(), &ann.roles[..]),
        ("ann@x", Some("ann@x"), &[Role::Read][..])
    );
    let all = oidc.caller(&with("flowtrail-operate flowtrail-all-users", Value::Null)).await.unwrap();
    assert_eq!((all.user, &all.roles[..]), (None, &[Role::Operate][..]));
    let Err(Refusal::Wrong(said)) = oidc.caller(&with("flowtrail-read", json!({}))).await else { panic!() };
    assert_eq!(said, "the token does not say for which user it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_off_loopback_takes_tokens_of_the_provider_and_shows_its_metrics_to_readers_only() {
    let provider = Provider::start().await;
    let mut config: Config = servers::config(1).await;
    config.gateway.topic.clone_from(&config.kafka.topics[0]);
    let mut command =
        configured(&config, ["serve", "--listen", "0.0.0.0:0", "--topic", &config.gateway.topic]);
    command
        .env("FLOWTRAIL_HTTP__OIDC_ISSUER", &provider.issuer)
        .env("FLOWTRAIL_HTTP__OIDC_AUDIENCE", "flowtrail")
        .env("FLOWTRAIL_HTTP__OIDC_USER_CLAIM", "sub");
    let mut serving = Process::start(command).await;
    serving.address = serving.address.replace("0.0.0.0", "127.0.0.1");
    let token = format!("Bearer {}", provider.by_curve("curve", &provider.claims()));
    let with = async |request: &str, user: &str| {
        let body = json!({ "flow_instance_id": "f", "user_id": user }).to_string();
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        ask(&serving.address, request, &headers, body.as_bytes()).await.status
    };
    assert_eq!(with("POST /v1/instances/start", "ann").await, 200);
    assert_eq!(with("POST /v1/instances/start", "eve").await, 403);
    assert_eq!(with("DELETE /v1/instances/f", "ann").await, 403);
    assert_eq!(with("GET /metrics", "ann").await, 200);
    for (path, status) in [("/metrics", 401), ("/v1/flows", 401), ("/livez", 200)] {
        let answer = ask(&serving.address, &format!("GET {path}"), &[], b"").await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
}
