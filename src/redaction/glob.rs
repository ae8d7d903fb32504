//! Patterns for keys and apps: `*` stands for any text, and case does not count.

/// The longest pattern, in bytes: what a match costs is bounded by it.
const MOST_BYTES: usize = 256;

/// A pattern for the whole of a text.
#[derive(Debug)]
pub(crate) struct Glob {
    /// What stands before the first `*`; all of it if there is none.
    head: String,
    /// What stands between and behind.
    tail: Option<(Vec<String>, String)>,
    /// Bytes that a text has at least. Most keys are shorter, which is told sooner than anything else.
    least: usize,
}

impl Glob {
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        if pattern.is_empty() || pattern.len() > MOST_BYTES {
            return Err(format!("want a pattern of 1 to {MOST_BYTES} bytes, not {}", pattern.len()));
        }
        let lower = lower(pattern);
        let mut pieces = lower.split('*').map(str::to_owned);
        let head = pieces.next().unwrap_or_default();
        let mut between: Vec<String> = pieces.collect();
        let tail = between.pop().map(|end| (between, end));
        Ok(Self { head, tail, least: lower.len() - lower.matches('*').count() })
    }

    /// Whether it is the pattern of a text that went through [`lower`].
    pub(crate) fn matches(&self, lower: &str) -> bool {
        if lower.len() < self.least {
            return false;
        }
        let Some((between, end)) = &self.tail else { return lower == self.head };
        let Some(mut rest) = lower.strip_prefix(self.head.as_str()) else { return false };
        for piece in between {
            // The first place leaves the most for the pieces behind it.
            let Some((_, behind)) = rest.split_once(piece.as_str()) else { return false };
            rest = behind;
        }
        rest.ends_with(end.as_str())
    }
}

/// A text without regard to case, as patterns are held against it.
pub(crate) fn lower(text: &str) -> String {
    let mut lower = String::with_capacity(text.len());
    lower_into(&mut lower, text);
    lower
}

/// As [`lower`], in place of what `lower` held.
pub(crate) fn lower_into(lower: &mut String, text: &str) {
    lower.clear();
    if text.is_ascii() {
        lower.push_str(text);
        lower.make_ascii_lowercase();
    } else {
        lower.extend(text.chars().flat_map(char::to_lowercase));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::new(pattern).unwrap().matches(&lower(text))
    }

    #[test]
    fn a_star_is_any_text_and_the_pattern_is_of_the_whole() {
        for (pattern, text) in [
            ("card", "Card"),
            ("*", ""),
            ("*", "anything"),
            ("shop-*", "shop-"),
            ("*password*", "_A.Login.userPassword"),
            ("a*b*c", "aXbYbZc"),
            ("*ab*ab*", "abab"),
            ("*Ü", "xü"),
            ("*token", "tokentoken"),
        ] {
            assert!(matches(pattern, text), "{pattern} is not {text}");
        }
        for (pattern, text) in [
            ("card", "cards"),
            ("card", "acard"),
            ("shop-*", "myshop-1"),
            ("*ab*ab*", "aba"),
            ("a*a", "a"),
            ("ab*ba", "aba"),
            ("a?c", "abc"),
        ] {
            assert!(!matches(pattern, text), "{pattern} is {text}");
        }
    }

    #[test]
    fn a_pattern_has_a_length() {
        assert!(Glob::new("").is_err());
        assert!(Glob::new(&"x".repeat(MOST_BYTES)).is_ok());
        assert!(Glob::new(&"x".repeat(MOST_BYTES + 1)).is_err());
    }
}
