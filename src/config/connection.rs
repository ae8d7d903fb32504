//! A connection string: what the driver understands of it, and what flowtrail adds (`sslmode=verify-*`, `sslrootcert`,
//! `sslcert`, `sslkey`, `passfile`).

use std::{path::PathBuf, time::Duration};

use tokio_postgres::config::{Host, SslMode};

use super::pem::{ClientCertificate, Pem};

/// How long one attempt to connect may take where the connection string doesn't say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a session may be silent before the other side is asked whether it is there; then every few seconds.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(6);
const KEEPALIVE_RETRIES: u32 = 5;
/// The driver's own, which nobody asked for.
const DRIVER_KEEPALIVE: Duration = Duration::from_hours(2);

/// How far the server's certificate is checked; the names are libpq's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// `disable`, `prefer`, `require`: whatever the server shows is taken.
    Nothing,
    /// `verify-ca`, and `require` with a `sslrootcert`: an authority we trust has signed it, for any host.
    Authority,
    /// `verify-full`: an authority we trust has signed it for this host.
    Host,
}

/// Where Postgres is, and how far to trust it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// What the driver needs.
    pub driver: tokio_postgres::Config,
    /// How far the server's certificate is checked.
    pub verify: Verify,
    /// Authorities to trust instead of the machine's own.
    pub root_cert: Option<Pem>,
    /// How the server is to know us, beside or instead of a password.
    pub client: Option<ClientCertificate>,
    /// Where the password is looked up, as libpq does it, if the string has none.
    pub pass_file: Option<PathBuf>,
}

impl Connection {
    /// Reads a connection string in either form. The error says what is wrong without quoting the string.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut tls = Tls::default();
        let plain = match url_behind_scheme(text) {
            Some(rest) => {
                check_ats(rest)?;
                tls.take_from_url(text)
            }
            None => tls.take_from_words(text)?,
        };
        let mut driver: tokio_postgres::Config = plain.parse().map_err(|error| unreadable(text, &error))?;
        if driver.get_hosts().is_empty() && driver.get_hostaddrs().is_empty() {
            return Err("the connection string names no host".to_owned());
        }
        for host in driver.get_hosts() {
            // `user:pa@ss@host` is read as the host `ss@host`: say so before the host is shown to anybody.
            if matches!(host, Host::Tcp(name) if name.contains(['@', ' '])) {
                return Err("the host is not a host name; an @ in a password is written %40".to_owned());
            }
        }
        if driver.get_hosts().is_empty() {
            // TLS wants a name to talk to; an address will do.
            let addresses = driver.get_hostaddrs().to_vec();
            for address in &addresses {
                driver.host(address.to_string());
            }
        }
        // As libpq has it: within one machine there is nothing to encrypt.
        if driver.get_hosts().iter().all(|host| !matches!(host, Host::Tcp(_))) {
            driver.ssl_mode(SslMode::Disable);
        }
        if driver.get_connect_timeout().is_none() {
            driver.connect_timeout(CONNECT_TIMEOUT);
        }
        notice_silence(&mut driver);
        let verify = match tls.mode.as_deref() {
            Some("verify-full") => Verify::Host,
            Some("verify-ca") => Verify::Authority,
            Some("require") if tls.root_cert.is_some() => Verify::Authority,
            _ => Verify::Nothing,
        };
        let client = tls.client()?;
        Ok(Self { driver, verify, root_cert: tls.root_cert, client, pass_file: tls.pass_file })
    }
}

/// What comes after the scheme of a URL; nothing for text that is none. Words may hold a `://` too.
pub(super) fn url_behind_scheme(text: &str) -> Option<&str> {
    text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))
}

/// Refuses an @ by which the driver would take a piece of the password for a name, which is shown.
fn check_ats(url: &str) -> Result<(), String> {
    // Of `user:pa@s/s@host`, `s` for the host and `s@host` for the database.
    if url.matches('@').count() > 1 {
        return Err("there is more than one @; an @ in a password is written %40".to_owned());
    }
    // Of `host/db?password=pass@word`, all that stands before the @ for the user.
    let credentials = url.split_once('@').map_or("", |(credentials, _)| credentials);
    let user = credentials.split(':').next().unwrap_or_default();
    if user.contains(['/', '?']) {
        return Err("there is an @ behind the host; there it is written %40".to_owned());
    }
    Ok(())
}

/// A server that vanished without a word is noticed after a minute, not after two hours, unless asked otherwise.
fn notice_silence(driver: &mut tokio_postgres::Config) {
    if driver.get_keepalives_idle() == DRIVER_KEEPALIVE {
        driver.keepalives_idle(KEEPALIVE);
    }
    if driver.get_keepalives_interval().is_none() {
        driver.keepalives_interval(KEEPALIVE_INTERVAL);
    }
    if driver.get_keepalives_retries().is_none() {
        driver.keepalives_retries(KEEPALIVE_RETRIES);
    }
}

/// The parameters that the driver doesn't know.
#[derive(Debug, Default)]
struct Tls {
    mode: Option<String>,
    root_cert: Option<Pem>,
    client_cert: Option<Pem>,
    client_key: Option<Pem>,
    pass_file: Option<PathBuf>,
}

impl Tls {
    /// Takes one parameter; gives back the value the driver is to see, if any.
    fn take(&mut self, name: &str, value: String) -> Option<String> {
        match name {
            "sslrootcert" => {
                self.root_cert = (value != "system").then(|| Pem::from(value));
                None
            }
            "sslcert" => {
                self.client_cert = Some(Pem::from(value));
                None
            }
            "passfile" => {
                self.pass_file = Some(value.into());
                None
            }
            "sslkey" => {
                self.client_key = Some(Pem::from(value));
                None
            }
            "sslmode" => {
                let plain =
                    if value.starts_with("verify-") { known_verification(&value) } else { value.clone() };
                self.mode = Some(value);
                Some(plain)
            }
            _ => Some(value),
        }
    }

    /// The one is of no use without the other.
    fn client(&mut self) -> Result<Option<ClientCertificate>, String> {
        match (self.client_cert.take(), self.client_key.take()) {
            (Some(chain), Some(key)) => Ok(Some(ClientCertificate { chain, key })),
            (None, None) => Ok(None),
            (Some(_), None) => Err("there is an sslcert without its sslkey".to_owned()),
            (None, Some(_)) => Err("there is an sslkey without its sslcert".to_owned()),
        }
    }

    fn take_from_url(&mut self, url: &str) -> String {
        // A question mark before the last @ belongs to the password.
        let after_credentials = url.rfind('@').map_or(0, |at| at + 1);
        let (head, tail) = url.split_at(after_credentials);
        let Some((address, parameters)) = tail.split_once('?') else { return url.to_owned() };
        let kept: Vec<String> = parameters
            .split('&')
            .filter_map(|parameter| match parameter.split_once('=') {
                Some((name @ ("sslmode" | "sslrootcert" | "sslcert" | "sslkey" | "passfile"), value)) => {
                    self.take(name, percent_decoded(value)).map(|value| format!("{name}={value}"))
                }
                _ => Some(parameter.to_owned()),
            })
            .collect();
        let mark = if kept.is_empty() { "" } else { "?" };
        format!("{head}{address}{mark}{}", kept.join("&"))
    }

    fn take_from_words(&mut self, text: &str) -> Result<String, String> {
        let words = words(text).ok_or_else(|| NOT_READABLE.to_owned())?;
        let kept = words
            .into_iter()
            .filter_map(|(name, value)| self.take(&name, value).map(|value| word(&name, &value)))
            .collect::<Vec<_>>();
        Ok(kept.join(" "))
    }
}

const NOT_READABLE: &str = "not a connection string; want postgres://user:password@host:port/dbname, \
                            with special characters of the password as %40 and the like";

/// `require` for what the driver can't say itself; anything else it will refuse.
fn known_verification(mode: &str) -> String {
    if matches!(mode, "verify-full" | "verify-ca") { "require".to_owned() } else { mode.to_owned() }
}

/// Says what the driver minds, as far as that can't be a piece of the password.
fn unreadable(text: &str, error: &tokio_postgres::Error) -> String {
    let Some(cause) = std::error::Error::source(error).map(ToString::to_string) else {
        return NOT_READABLE.to_owned();
    };
    if cause == "invalid value for option `sslmode`" {
        return "sslmode is one of disable, prefer, require, verify-ca, verify-full".to_owned();
    }
    let beyond_password = text.rsplit_once('@').map_or("", |(_, address)| address);
    let named = cause.split('`').nth(1).unwrap_or("");
    if cause.starts_with("invalid value for option") || (!named.is_empty() && beyond_password.contains(named))
    {
        return format!("not a connection string: {cause}");
    }
    NOT_READABLE.to_owned()
}

/// Splits `name=value name='quoted value'`; nothing where that is not what the text is.
pub(super) fn words(text: &str) -> Option<Vec<(String, String)>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim_end();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        let (value, after) = value_of(after.trim_start())?;
        words.push((name.to_owned(), value));
        rest = after.trim_start();
    }
    Some(words)
}

/// One value, its quotes and backslashes resolved, and what comes after it.
fn value_of(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.push(characters.next()?.1),
            '\'' if quoted => return text.get(at + 1..).map(|rest| (value, rest)),
            space if !quoted && space.is_whitespace() => return text.get(at..).map(|rest| (value, rest)),
            other => value.push(other),
        }
    }
    (!quoted).then_some((value, ""))
}

/// One `name=value`, quoted where it has to be.
pub(super) fn word(name: &str, value: &str) -> String {
    if !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || matches!(c, '\'' | '\\')) {
        return format!("{name}={value}");
    }
    format!("{name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let (b'%', Some(byte)) = (first, byte) {
            bytes.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_understood() {
        for text in [
            "postgres://ann:a%20b@db:6432/flows?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem",
            "host=db port=6432 user=ann password='a b' dbname=flows sslmode=verify-full sslrootcert=/etc/ca.pem",
        ] {
            let connection = Connection::parse(text).unwrap();
            let driver = &connection.driver;
            assert_eq!(driver.get_hosts(), [Host::Tcp("db".to_owned())]);
            assert_eq!(driver.get_ports(), [6432]);
            assert_eq!(driver.get_user(), Some("ann"));
            assert_eq!(driver.get_password(), Some(&b"a b"[..]));
            assert_eq!(driver.get_dbname(), Some("flows"));
            assert_eq!(driver.get_ssl_mode(), SslMode::Require);
            assert_eq!(connection.verify, Verify::Host);
            assert_eq!(connection.root_cert, Some(Pem::File("/etc/ca.pem".into())));
            assert_eq!(driver.get_connect_timeout(), Some(&CONNECT_TIMEOUT));
        }
    }

    #[test]
    fn sslmode_means_what_libpq_means() {
        for (mode, wanted, verify) in [
            ("disable", SslMode::Disable, Verify::Nothing),
            ("prefer", SslMode::Prefer, Verify::Nothing),
            ("require", SslMode::Require, Verify::Nothing),
            ("verify-ca", SslMode::Require, Verify::Authority),
            ("verify-full", SslMode::Require, Verify::Host),
        ] {
            let connection = Connection::parse(&format!("postgres://db/x?sslmode={mode}")).unwrap();
            assert_eq!((connection.driver.get_ssl_mode(), connection.verify), (wanted, verify), "{mode}");
        }
        let require = Connection::parse("postgres://db/x?sslmode=require&sslrootcert=ca.pem").unwrap();
        assert_eq!(require.verify, Verify::Authority);
        assert!(Connection::parse("postgres://db/x?sslmode=verify-most").unwrap_err().contains("verify-ca"));
    }

    #[test]
    fn a_client_certificate_has_a_key_and_either_may_be_a_file_or_the_text() {
        let url = "postgres://db/x?sslmode=require&sslcert=%2Fetc%2Fme.pem&sslkey=/etc/me.key";
        let client = Connection::parse(url).unwrap().client.unwrap();
        assert_eq!(client.chain, Pem::File("/etc/me.pem".into()));
        assert_eq!(client.key, Pem::File("/etc/me.key".into()));
        let key = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
        let connection = Connection::parse(&format!("host=db sslcert=/etc/me.pem sslkey='{key}'")).unwrap();
        assert_eq!(connection.client.as_ref().unwrap().key, Pem::Text(key.to_owned()));
        assert!(!format!("{connection:?}").contains("hunter2"));
        for alone in ["host=db sslcert=/etc/me.pem", "postgres://db/x?sslkey=/etc/me.key"] {
            assert!(Connection::parse(alone).unwrap_err().contains("without its ssl"), "{alone}");
        }
    }

    #[test]
    fn a_server_that_vanished_is_noticed_after_a_minute_unless_asked_otherwise() {
        let driver = |text| Connection::parse(text).unwrap().driver;
        let usual = driver("postgres://db/x");
        assert_eq!(usual.get_keepalives_idle(), KEEPALIVE);
        assert_eq!(usual.get_keepalives_retries(), Some(KEEPALIVE_RETRIES));
        let asked = driver("postgres://db/x?keepalives_idle=60&keepalives_interval=7&connect_timeout=3");
        assert_eq!(asked.get_keepalives_idle(), Duration::from_mins(1));
        assert_eq!(asked.get_keepalives_interval(), Some(Duration::from_secs(7)));
        assert_eq!(asked.get_connect_timeout(), Some(&Duration::from_secs(3)));
    }

    #[test]
    fn a_socket_in_the_file_system_is_not_encrypted() {
        let connection = Connection::parse("host=/run/postgresql sslmode=require").unwrap();
        assert_eq!(connection.driver.get_ssl_mode(), SslMode::Disable);
        let connection = Connection::parse("hostaddr=127.0.0.1 user=ann").unwrap();
        assert_eq!(connection.driver.get_hosts(), [Host::Tcp("127.0.0.1".to_owned())]);
    }

    #[test]
    fn an_error_never_quotes_the_password() {
        for text in [
            "postgres://ann:hunter2@ter2@db/flows",
            "postgres://ann:hunter2@db:port/flows",
            "postgres://ann:x?hunter2=1@db/flows?bogus=1",
            "host=db password=a hunter2",
            "hunter2",
            "host=db hunter2=x",
            "postgres://ann:hunter2@",
        ] {
            let message = Connection::parse(text).unwrap_err();
            assert!(!message.contains("hunter2"), "{text}: {message}");
        }
        let message = Connection::parse("postgres://ann:x@db/flows?pgbouncer=true").unwrap_err();
        assert!(message.contains("pgbouncer"), "{message}");
    }

    #[test]
    fn an_at_is_refused_where_a_piece_of_the_password_would_be_taken_for_a_name() {
        for text in [
            "postgres://ann:a@ter2@db/flows",
            "postgres://ann:a@b/hunter2@db/flows",
            "postgres://db/flows?password=hunter2@x",
        ] {
            assert!(Connection::parse(text).unwrap_err().contains("written %40"), "{text}");
        }
        let escaped = Connection::parse("postgres://ann:a%40b%2Fhunter2@db/flows").unwrap();
        assert_eq!(escaped.driver.get_password(), Some(&b"a@b/hunter2"[..]));
    }

    #[test]
    fn words_survive_being_written_and_read() {
        for value in ["plain", "", "it's", "back\\slash", "two words", "ü=ö"] {
            let text = format!("{} {}", word("password", value), word("user", "ann"));
            let read = words(&text).unwrap();
            assert_eq!(
                read,
                [("password".to_owned(), value.to_owned()), ("user".to_owned(), "ann".to_owned())]
            );
        }
    }
}
