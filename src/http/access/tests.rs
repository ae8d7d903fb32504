//! Who gets in, and who does not.

use std::{fmt::Write as _, fs};

use axum::{Extension, routing::get};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::*;

const DAY: &str = "2026-11-22T00:00:00Z";

/// Name, roles, user and end.
type Wanted<'a> = (&'a str, &'a [Role], Option<&'a str>, Option<&'a str>);

/// Writes a file of tokens, and gives them.
fn file_of(folder: &std::path::Path, tokens: &[Wanted<'_>]) -> Vec<String> {
    let mut text = String::new();
    let mut secrets = Vec::new();
    for (name, roles, user, expires) in tokens {
        let (token, sha256) = tokens::make();
        let entry = tokens::Entry {
            name: (*name).to_owned(),
            roles: roles.to_vec(),
            user: user.map(str::to_owned),
            expires: expires.map(|time| time.parse().unwrap()),
            sha256,
        };
        text.push_str(&tokens::block(&entry).unwrap());
        text.push('\n');
        secrets.push(token);
    }
    fs::write(folder.join("tokens.toml"), text).unwrap();
    secrets
}

fn with_tokens(folder: &std::path::Path) -> config::Http {
    let tokens_file = folder.join("tokens.toml").to_str().unwrap().to_owned();
    config::Http { tokens_file, ..config::Http::default() }
}

/// Asks a route for readers and operators, which answers with who asked.
async fn ask(access: &Access, headers: &[(&str, &str)]) -> (u16, String) {
    let who = async |Extension(caller): Extension<Caller>| format!("{} {:?}", caller.name, caller.user);
    let router = access.guard(Router::new().route("/", get(who)), &[Role::Read, Role::Operate]);
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let address = crate::http::serve("127.0.0.1:0", router, stop.clone(), &tasks).await.unwrap();
    let _stopped = stop.drop_guard();
    let mut request = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".to_owned();
    for (name, value) in headers {
        writeln!(request, "{name}: {value}\r").unwrap();
    }
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn without_tokens_anybody_gets_in_and_nobody_is_believed_to_be_somebody() {
    let access = Access::new(&config::Http::default()).unwrap();
    assert!(access.is_open());
    assert_eq!(ask(&access, &[("username", "ann")]).await, (200, "anybody None".to_owned()));
}

#[tokio::test]
async fn a_proxy_that_is_trusted_says_who_asks() {
    let http = config::Http { trust_username_header: true, ..config::Http::default() };
    let access = Access::new(&http).unwrap();
    assert!(!access.is_open());
    assert_eq!(ask(&access, &[("username", "ann")]).await, (200, "ann Some(\"ann\")".to_owned()));
    let (code, why) = ask(&access, &[]).await;
    assert_eq!((code, why.as_str()), (403, "an app may not do this; it takes the role read or operate\n"));
}

#[tokio::test]
async fn a_token_may_do_what_its_roles_say_until_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = file_of(
        folder.path(),
        &[
            ("desk", &[Role::Read], Some("ann"), None),
            ("app", &[Role::Record], None, None),
            ("old", &[Role::Read], None, Some("2020-01-01T00:00:00Z")),
        ],
    );
    let access = Access::new(&with_tokens(folder.path())).unwrap();
    let with = |token: &str| format!("Bearer {token}");
    let desk = with(&secrets[0]);
    // What the header says of a user does not count beside a token.
    let asked = [("authorization", desk.as_str()), ("username", "eve")];
    assert_eq!(ask(&access, &asked).await, (200, "desk Some(\"ann\")".to_owned()));
    assert_eq!(ask(&access, &[("authorization", &with(&secrets[1]))]).await.0, 403);
    assert_eq!(ask(&access, &[("authorization", &with(&secrets[2]))]).await.0, 401);
    for wrong in ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer ft_x", &desk[..desk.len() - 1], &secrets[0]]
    {
        assert_eq!(ask(&access, &[("authorization", wrong)]).await.0, 401, "{wrong}");
    }
    assert_eq!(ask(&access, &[]).await.0, 401);
}

#[tokio::test]
async fn who_guesses_has_to_wait_even_if_the_next_guess_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = file_of(folder.path(), &[("desk", &[Role::Read], None, None)]);
    let access = Access::new(&with_tokens(folder.path())).unwrap();
    for _ in 0..20 {
        assert_eq!(ask(&access, &[("authorization", "Bearer guess")]).await.0, 401);
    }
    let right = format!("Bearer {}", secrets[0]);
    assert_eq!(ask(&access, &[("authorization", &right)]).await.0, 429);
}

#[test]
fn tokens_are_exchanged_while_it_runs_and_a_broken_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.toml");
    let now: Timestamp = DAY.parse().unwrap();
    let old = file_of(folder.path(), &[("desk", &[Role::Read], None, None)]);
    let tokens = Tokens::read(path.clone()).unwrap();
    let changed_at = |seconds: u64| {
        let file = fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    };
    let both = fs::read_to_string(&path).unwrap();
    let new = file_of(folder.path(), &[("desk", &[Role::Read], None, None)]);
    fs::write(&path, both + &fs::read_to_string(&path).unwrap()).unwrap();
    changed_at(1_000);
    tokens.look();
    assert!(tokens.caller(&old[0], now).is_some() && tokens.caller(&new[0], now).is_some());
    fs::write(&path, "[[token]]\nname = 1\n").unwrap();
    changed_at(2_000);
    tokens.look();
    assert!(tokens.caller(&old[0], now).is_some());
    let last = file_of(folder.path(), &[("desk", &[Role::Read], None, None)]);
    changed_at(3_000);
    tokens.look();
    assert!(tokens.caller(&old[0], now).is_none() && tokens.caller(&last[0], now).is_some());
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.toml");
    let why = |text: &str| {
        fs::write(&path, text).unwrap();
        Tokens::read(path.clone()).unwrap_err().to_string()
    };
    let role = why("[[token]]\nname = \"a\"\nroles = [\"admin\"]\nsha256 = \"\"\n");
    assert!(role.contains("line 3") && role.contains("admin"), "{role}");
    let hash = why("[[token]]\nname = \"a\"\nroles = [\"read\"]\nsha256 = \"12\"\n");
    assert!(hash.ends_with("sha256 of token \"a\" is not 64 hexadecimal digits"), "{hash}");
    assert!(Tokens::read(folder.path().join("none")).unwrap_err().to_string().contains("http.tokens_file"));
}
