//! Sentences about what others wrote.

use std::borrow::Cow;

/// As much as is quoted, in bytes.
const MOST: usize = 400;

/// The text as it may stand in a log or on a terminal, whoever wrote it: on one line, without control characters, cut if long.
pub(crate) fn quotable(text: &str) -> Cow<'_, str> {
    if text.len() <= MOST && !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let (shown, rest) = text.split_at(text.floor_char_boundary(MOST));
    let mut quoted = String::new();
    for character in shown.chars() {
        if character.is_control() {
            quoted.extend(character.escape_default());
        } else {
            quoted.push(character);
        }
    }
    if !rest.is_empty() {
        quoted.push('…');
    }
    Cow::Owned(quoted)
}

/// An error with its causes, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        sentence.push_str(": ");
        sentence.push_str(&error.to_string());
        cause = error.source();
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_spelled_out_and_all_else_stays() {
        assert_eq!(quotable("ü \"\\ 'x'"), "ü \"\\ 'x'");
        assert_eq!(quotable("a\nb\u{1b}[2J\0\u{85}"), "a\\nb\\u{1b}[2J\\u{0}\\u{85}");
    }

    #[test]
    fn what_is_long_is_cut_between_letters() {
        assert_eq!(quotable(&"x".repeat(MOST)).len(), MOST);
        assert_eq!(quotable(&format!("{}éé", "x".repeat(MOST - 1))), format!("{}…", "x".repeat(MOST - 1)));
    }
}
