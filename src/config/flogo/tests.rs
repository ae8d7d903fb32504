use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio_postgres::config::{Host, SslMode};

use super::super::{Config, Connection, Environment, Flags, Loaded, Verify, load, printed, to_toml};
use super::*;

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";

fn load_with(file: &str, variables: &[(&str, &str)], toml: &str) -> Result<Loaded, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, file).unwrap();
    std::fs::write(folder.path().join("flowtrail.toml"), toml).unwrap();
    let environment: Environment =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let flags = Flags { flogo_file: Some(path), ..Flags::default() };
    load(&flags, &environment, folder.path()).map_err(|error| error.sentences())
}

fn loaded(file: &Value) -> Loaded {
    load_with(&file.to_string(), &[], "").unwrap()
}

fn target(loaded: &Loaded) -> Connection {
    loaded.config.postgres.target().unwrap()
}

/// The one problem with a file; it names the file and the field.
fn problem(file: &Value, field: &str) -> String {
    let sentences = load_with(&file.to_string(), &[], "").unwrap_err();
    assert_eq!(sentences.len(), 1, "{sentences:?}");
    assert!(sentences[0].contains(&format!("config.json: {field}: ")), "{sentences:?}");
    assert!(!sentences[0].contains("hunter2"), "{sentences:?}");
    sentences[0].clone()
}

fn whys(loaded: &Loaded) -> BTreeMap<&str, &str> {
    loaded.ignored.iter().map(|ignored| (ignored.field.as_str(), ignored.why.as_str())).collect()
}

fn vendors() -> Value {
    json!({"dbType": "postgres", "dbHost": "10.0.0.9", "dbPort": "54320", "dbName": "history", "dbUser": "ann",
        "dbPass": "it's \\ hunter2", "dbMaxOpenConnection": "50"})
}

/// As the service comes with it, but for the names.
fn services() -> Value {
    json!({"exposeRecorder": true, "port": "9191", "persistence": {"type": "postgres", "name": "a label",
        "description": "", "host": "db", "port": "54320", "databaseName": "history", "user": "ann",
        "password": "hunter2", "maxopenconnection": "0", "maxidleconnection": "2", "connmaxlifetime": "0",
        "maxconnectattempts": "3", "connectionretrydelay": "5", "tlsEnable": false, "tlsMode": "", "cacert": "",
        "clientcert": "", "clientkey": ""}})
}

/// The service's file with other values in `persistence`; null takes one away.
fn services_with(changes: Value) -> Value {
    let mut file = services();
    let Value::Object(changes) = changes else { panic!("not an object") };
    for (name, value) in changes {
        file["persistence"][name] = value;
    }
    file
}

#[test]
fn the_vendors_form_names_a_database_and_a_number_of_sessions() {
    let loaded = loaded(&vendors());
    let driver = target(&loaded).driver;
    assert_eq!(driver.get_hosts(), [Host::Tcp("10.0.0.9".to_owned())]);
    assert_eq!((driver.get_ports(), driver.get_dbname()), (&[54320][..], Some("history")));
    assert_eq!((driver.get_user(), driver.get_password()), (Some("ann"), Some(&b"it's \\ hunter2"[..])));
    assert_eq!(driver.get_ssl_mode(), SslMode::Prefer);
    assert_eq!(loaded.config.postgres.max_sessions, 50);
    assert!(loaded.config.gateway.record && loaded.ignored.is_empty());
    assert!(
        loaded
            .origin("postgres.url")
            .to_string()
            .ends_with("config.json: dbHost, dbPort, dbName, dbUser, dbPass")
    );
}

#[test]
fn the_services_form_names_port_and_recorder_too() {
    let loaded = loaded(&services());
    let target = target(&loaded);
    assert_eq!(target.driver.get_hosts(), [Host::Tcp("db".to_owned())]);
    assert_eq!((target.driver.get_ports(), target.driver.get_dbname()), (&[54320][..], Some("history")));
    assert_eq!(target.driver.get_ssl_mode(), SslMode::Disable);
    assert_eq!(
        (loaded.config.gateway.listen.as_str(), loaded.config.gateway.record),
        ("127.0.0.1:9191", true)
    );
    // None is no limit there.
    assert_eq!(loaded.config.postgres.max_sessions, 0);
    let ignored: Vec<&str> = whys(&loaded).into_keys().collect();
    let wanted = [
        "connectionretrydelay",
        "connmaxlifetime",
        "description",
        "maxconnectattempts",
        "maxidleconnection",
        "name",
    ];
    assert_eq!(ignored, wanted.map(|name| format!("persistence.{name}")));
}

#[test]
fn numbers_and_switches_may_be_text_or_not() {
    let mut file = services_with(json!({"port": 5433, "maxopenconnection": 20, "tlsEnable": "true"}));
    file["port"] = json!(9192);
    file["exposeRecorder"] = json!("false");
    let loaded = loaded(&file);
    assert_eq!(target(&loaded).driver.get_ports(), [5433]);
    assert_eq!(target(&loaded).driver.get_ssl_mode(), SslMode::Require);
    assert_eq!((loaded.config.postgres.max_sessions, loaded.config.gateway.sessions), (20, 8));
    assert_eq!(
        (loaded.config.gateway.listen.as_str(), loaded.config.gateway.record),
        ("127.0.0.1:9192", false)
    );
}

#[test]
fn where_the_service_would_take_no_posts_neither_do_we() {
    let mut file = services();
    file.as_object_mut().unwrap().remove("exposeRecorder");
    let loaded = loaded(&file);
    assert!(!loaded.config.gateway.record);
    assert!(loaded.origin("gateway.record").to_string().ends_with("there is no exposeRecorder"));
}

#[test]
fn a_limit_on_sessions_is_shared_and_too_small_a_one_is_refused() {
    let few = loaded(&services_with(json!({"maxopenconnection": "9"})));
    assert_eq!((few.config.collector.sessions(), few.config.gateway.sessions), (4, 4));
    let sentences =
        load_with(&services_with(json!({"maxopenconnection": "7"})).to_string(), &[], "").unwrap_err();
    assert!(
        sentences[0].contains("persistence.maxopenconnection: postgres.max_sessions: 7 sessions"),
        "{sentences:?}"
    );
    assert_eq!(loaded(&services_with(json!({"maxopenconnection": -1}))).config.postgres.max_sessions, 0);
}

#[test]
fn tls_is_what_its_words_say_and_only_if_it_is_on() {
    for (word, mode, verify) in [
        ("VerifyCA", SslMode::Require, Verify::Authority),
        ("verifyca", SslMode::Require, Verify::Authority),
        ("VerifyFull", SslMode::Require, Verify::Host),
        ("verify-full", SslMode::Require, Verify::Host),
        ("Require", SslMode::Require, Verify::Nothing),
        ("prefer", SslMode::Prefer, Verify::Nothing),
        ("disable", SslMode::Disable, Verify::Nothing),
        ("", SslMode::Require, Verify::Nothing),
    ] {
        for [on, how] in [["tlsEnable", "tlsMode"], ["tlsconfig", "tlsparam"]] {
            let file = services_with(json!({"tlsEnable": null, "tlsMode": null, on: true, how: word}));
            let loaded = loaded(&file);
            let target = target(&loaded);
            assert_eq!((target.driver.get_ssl_mode(), target.verify), (mode, verify), "{word}");
        }
    }
    problem(&services_with(json!({"tlsEnable": true, "tlsMode": "VerifySome"})), "persistence.tlsMode");
    for off in [json!(false), Value::Null] {
        let file = services_with(json!({"tlsEnable": off, "tlsMode": "VerifyCA", "clientkey": KEY}));
        let loaded = loaded(&file);
        assert_eq!(target(&loaded).verify, Verify::Nothing);
        for field in ["persistence.tlsMode", "persistence.clientkey"] {
            assert!(whys(&loaded)[field].contains("tlsEnable is not true"), "{:?}", loaded.ignored);
        }
    }
}

#[test]
fn certificates_are_paths_or_pem_in_any_of_the_ways_it_comes() {
    use super::super::Pem;
    let encoded = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBQUEKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";
    let of = |value: Value| {
        let file = services_with(json!({"tlsEnable": true, "tlsMode": "VerifyCA", "cacert": value,
            "clientcert": "/etc/me.pem", "clientkey": KEY}));
        let target = target(&loaded(&file));
        let client = target.client.unwrap();
        assert_eq!((client.chain, client.key), (Pem::File("/etc/me.pem".into()), Pem::Text(KEY.to_owned())));
        target.root_cert.unwrap()
    };
    assert_eq!(of(json!("certs/ca.pem")), Pem::File("certs/ca.pem".into()));
    let exported =
        json!({"filename": "ca.pem", "content": format!("data:application/x-x509;base64,{encoded}")});
    for inline in [json!(PEM), json!(encoded), exported.clone(), json!(exported.to_string())] {
        assert_eq!(of(inline), Pem::Text(PEM.to_owned()));
    }
    let alone = services_with(json!({"tlsEnable": true, "clientcert": "/etc/me.pem"}));
    let sentences = load_with(&alone.to_string(), &[], "").unwrap_err();
    assert!(sentences[0].contains("sslcert without its sslkey"), "{sentences:?}");
}

#[test]
fn another_kind_of_database_is_refused_with_a_sentence() {
    for kind in ["memory", "mysql", "dynamodb"] {
        assert!(problem(&services_with(json!({"type": kind})), "persistence.type").contains("want postgres"));
    }
    let mut file = vendors();
    file["dbType"] = json!("oracle");
    problem(&file, "dbType");
    assert!(load_with(&services_with(json!({"type": "Postgres"})).to_string(), &[], "").is_ok());
}

#[test]
fn a_wrong_type_is_named_with_file_and_field_and_without_the_value() {
    for (field, value) in [
        ("host", json!(7)),
        ("host", json!(["db"])),
        ("port", json!("hunter2")),
        ("port", json!(0)),
        ("port", json!(65536)),
        ("port", json!({"hunter2": 1})),
        ("databaseName", json!(true)),
        ("user", json!({})),
        ("password", json!(["hunter2"])),
        ("maxopenconnection", json!("many")),
        ("maxopenconnection", json!(1.5)),
        ("tlsEnable", json!("perhaps")),
    ] {
        problem(&services_with(json!({ field: value })), &format!("persistence.{field}"));
    }
    problem(&services_with(json!({"tlsEnable": true, "cacert": 7})), "persistence.cacert");
    for (field, value) in [("port", json!("x")), ("exposeRecorder", json!(2)), ("persistence", json!("x"))] {
        let mut file = services();
        file[field] = value;
        problem(&file, field);
    }
    problem(&services_with(json!({"host": ""})), "persistence.host");
    problem(&json!({"port": 1, "persistence": {"clientkey": KEY}}), "persistence.host");
    let mut file = vendors();
    file["persistence"] = json!({"host": "other"});
    assert!(problem(&file, "persistence.host").contains("dbHost says the same thing"));
}

#[test]
fn what_is_no_such_file_is_refused() {
    for text in ["", "hunter2", "\"hunter2\"", "[]", "{\"dbPass\": \"hunter2", "7"] {
        let sentences = load_with(text, &[], "").unwrap_err();
        assert!(sentences[0].contains("config.json: not a JSON object"), "{sentences:?}");
        assert!(!sentences[0].contains("hunter2"), "{sentences:?}");
    }
    for file in [json!({}), json!({"name": "an-app", "password": "hunter2"})] {
        problem(&file, "file");
    }
}

#[test]
fn what_nobody_knows_or_we_do_without_is_named() {
    let mut file = services_with(json!({"maxopenconnections": "5"}));
    for (field, value) in [("streamingStep", true), ("enableTLS", true), ("a\nb", true)] {
        file[field] = json!(value);
    }
    file["certFile"] = json!("/etc/cert.pem");
    let loaded = loaded(&file);
    let whys = whys(&loaded);
    assert!(whys["persistence.maxopenconnections"].contains("did you mean persistence.maxopenconnection?"));
    for field in ["streamingStep", "enableTLS", "certFile", "a\nb"] {
        assert!(whys.contains_key(field), "{whys:?}");
    }
    let text = to_toml(&loaded);
    assert!(text.contains("# persistence.name: ") && text.contains("# a\\nb: "), "{text}");
    assert!(text.parse::<toml::Table>().is_ok());
    let off = json!({"port": 1, "streamingStep": false, "enableTLS": "false"});
    assert!(self::loaded(&off).ignored.is_empty());
}

/// A field that is known is either taken or named: none is dropped in silence.
#[test]
fn every_known_field_changes_something_or_is_named() {
    let all = |config: &Config| {
        let url = config.postgres.url.as_ref().map(|url| url.expose_secret().to_owned());
        format!("{config:?} {url:?}")
    };
    let base = [
        ("port", json!("1")),
        ("persistence.host", json!("db")),
        ("persistence.tlsEnable", json!(true)),
        ("persistence.clientcert", json!("a")),
        ("persistence.clientkey", json!("a")),
    ];
    let with = |fields: &[(&str, Value)]| {
        let mut file = json!({"persistence": {}});
        for (name, value) in fields {
            match name.split_once('.') {
                Some((section, name)) => file[section][name] = value.clone(),
                None => file[name] = value.clone(),
            }
        }
        loaded(&file)
    };
    let before = all(&with(&base).config);
    for (name, about) in FIELDS.into_iter().filter(|(_, about)| *about != About::Type) {
        let value = match about {
            About::Port | About::ServicePort | About::MostSessions => json!("4711"),
            About::Tls => json!(false),
            About::Record | About::NothingIfOn(_) => json!(true),
            About::TlsMode => json!("VerifyFull"),
            _ => json!("some-text"),
        };
        let same = |field: &str| FIELDS.contains(&(field, about));
        let mut fields: Vec<_> = base.iter().filter(|(field, _)| !same(field)).cloned().collect();
        fields.push((name, value));
        let after = with(&fields);
        let (named, changed) = (whys(&after).contains_key(name), before != all(&after.config));
        assert!(named != changed, "{name}: named {named}, changed {changed}");
    }
}

#[test]
fn it_lies_over_the_defaults_and_under_everything_else() {
    let file = services().to_string();
    let own = "[gateway]\nlisten = \"0.0.0.0:80\"\n[postgres]\nurl = \"postgres://own/x\"\n";
    let listen = |loaded: &Loaded| loaded.config.gateway.listen.clone();
    let host = |loaded: &Loaded| target(loaded).driver.get_hosts().to_vec();
    let toml = load_with(&file, &[], own).unwrap();
    assert_eq!((listen(&toml), host(&toml)), ("0.0.0.0:80".to_owned(), vec![Host::Tcp("own".to_owned())]));
    let variables = [("DATABASE_URL", "postgres://env/x"), ("PGHOST", "libpq")];
    let variable = load_with(&file, &variables, "").unwrap();
    assert_eq!(
        (listen(&variable), host(&variable)),
        ("127.0.0.1:9191".to_owned(), vec![Host::Tcp("env".to_owned())])
    );
    let libpq = load_with(&file, &variables[1..], "").unwrap();
    assert_eq!(host(&libpq), [Host::Tcp("db".to_owned())]);
}

#[test]
fn no_secret_is_shown() {
    let file = services_with(json!({"tlsEnable": true, "cacert": PEM, "clientcert": PEM, "clientkey": KEY}));
    let loaded = loaded(&file);
    let shown = format!("{loaded:?} {} {:?} {:?}", to_toml(&loaded), printed(&loaded), target(&loaded));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(to_toml(&loaded).contains("sslkey=***"), "{shown}");
}
