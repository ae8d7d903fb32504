//! JSON text, token by token, with its grammar held to: what is not JSON by RFC 8259 is [`Unreadable`].
//!
//! Nothing is copied, and nesting is kept on the heap and bounded.

/// Containers within each other that are looked into.
pub(super) const DEEPEST: usize = 512;

/// The text is not JSON, or nested too deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Object,
    Array,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Open(Container),
    Close,
    /// What stands between a key's quotes, with its escapes.
    Key(&'a str),
    /// A string with its quotes, a number, or a word.
    Scalar(&'a str),
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    /// Behind `[`.
    ValueOrEnd,
    /// Behind `{`.
    KeyOrEnd,
    CommaOrEnd,
    Nothing,
}

#[derive(Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
    open: Vec<Container>,
    next: Next,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, at: 0, open: Vec::new(), next: Next::Value }
    }

    /// Where the last token ended.
    pub(super) fn end(&self) -> usize {
        self.at
    }

    /// The next token; `None` once the text is over.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, Unreadable> {
        self.skip_space();
        if self.next == Next::Nothing {
            return if self.peek().is_none() { Ok(None) } else { Err(Unreadable) };
        }
        self.token().map(Some).ok_or(Unreadable)
    }

    fn token(&mut self) -> Option<Token<'a>> {
        match (self.next, self.peek()?) {
            (Next::ValueOrEnd | Next::CommaOrEnd, b']') => self.close(Container::Array),
            (Next::KeyOrEnd | Next::CommaOrEnd, b'}') => self.close(Container::Object),
            (Next::CommaOrEnd, b',') => {
                self.at += 1;
                self.skip_space();
                match self.open.last()? {
                    Container::Object => self.key(),
                    Container::Array => self.value(),
                }
            }
            (Next::KeyOrEnd, _) => self.key(),
            (Next::Value | Next::ValueOrEnd, _) => self.value(),
            (Next::CommaOrEnd | Next::Nothing, _) => None,
        }
    }

    fn close(&mut self, container: Container) -> Option<Token<'a>> {
        if self.open.pop() != Some(container) {
            return None;
        }
        self.at += 1;
        Some(self.ended(Token::Close))
    }

    fn key(&mut self) -> Option<Token<'a>> {
        let key = self.string()?;
        self.skip_space();
        self.take(b':')?;
        self.next = Next::Value;
        Some(Token::Key(key.get(1..key.len() - 1)?))
    }

    fn value(&mut self) -> Option<Token<'a>> {
        let scalar = match self.peek()? {
            b'{' => return self.opened(Container::Object, Next::KeyOrEnd),
            b'[' => return self.opened(Container::Array, Next::ValueOrEnd),
            b'"' => self.string()?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => self.number()?,
        };
        Some(self.ended(Token::Scalar(scalar)))
    }

    fn opened(&mut self, container: Container, next: Next) -> Option<Token<'a>> {
        if self.open.len() >= DEEPEST {
            return None;
        }
        self.at += 1;
        self.open.push(container);
        self.next = next;
        Some(Token::Open(container))
    }

    /// A value has come to its end.
    fn ended(&mut self, token: Token<'a>) -> Token<'a> {
        self.next = if self.open.is_empty() { Next::Nothing } else { Next::CommaOrEnd };
        token
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'a str> {
        let from = self.at;
        self.take(b'"')?;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return self.text.get(from..self.at);
                }
                b'\\' => self.escape()?,
                // A control character has to be escaped.
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        self.at += 1;
        let is_unicode = match self.peek()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => false,
            b'u' => true,
            _ => return None,
        };
        self.at += 1;
        if is_unicode {
            let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            self.at += 4;
        }
        Some(())
    }

    fn word(&mut self, word: &'static str) -> Option<&'a str> {
        let found = self.text.get(self.at..self.at + word.len()).filter(|found| *found == word)?;
        self.at += word.len();
        Some(found)
    }

    fn number(&mut self) -> Option<&'a str> {
        let from = self.at;
        let _ = self.take(b'-');
        // No digit may follow a leading zero.
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if self.take(b'e').or_else(|| self.take(b'E')).is_some() {
            let _ = self.take(b'+').or_else(|| self.take(b'-'));
            self.digits()?;
        }
        self.text.get(from..self.at)
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(())
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

/// Whether all of a text is JSON, nested no deeper than is looked into.
pub(super) fn is_json(text: &str) -> bool {
    let mut tokens = Tokens::of(text);
    loop {
        match tokens.next() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(Unreadable) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn the_tokens_of_a_text_are_slices_of_it() {
        let mut tokens = Tokens::of(" {\"a\\\"b\" : [1.50e+3, \"x\\u00fc\",null ,{}],\"\":true}\n");
        let mut found = Vec::new();
        while let Some(token) = tokens.next().unwrap() {
            found.push(token);
        }
        let wanted = [
            Token::Open(Container::Object),
            Token::Key("a\\\"b"),
            Token::Open(Container::Array),
            Token::Scalar("1.50e+3"),
            Token::Scalar("\"x\\u00fc\""),
            Token::Scalar("null"),
            Token::Open(Container::Object),
            Token::Close,
            Token::Close,
            Token::Key(""),
            Token::Scalar("true"),
            Token::Close,
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn nesting_is_read_up_to_its_limit() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_json(&nested(DEEPEST)) && !is_json(&nested(DEEPEST + 1)));
        assert!(!is_json(&"[".repeat(10_000_000)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn what_is_json_is_what_another_parser_takes(text in r#"[-\[\]{}:,"\\ua0-2.eE+truefalsn \n]{0,12}"#) {
            prop_assert_eq!(is_json(&text), serde_json::from_str::<&RawValue>(&text).is_ok());
        }
    }
}
