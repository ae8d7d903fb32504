//! What is said about bad input.

use std::error::Error;

/// An error and its causes, checked to be one line that no terminal takes for a command, and of bounded length.
pub(crate) fn sentence(error: &dyn Error, input_bytes: usize) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    check(&text, input_bytes);
    text
}

/// As [`sentence`], of what is already text.
pub(crate) fn check(text: &str, input_bytes: usize) {
    assert!(!text.is_empty(), "a sentence says something");
    assert!(!text.contains(char::is_control), "one line: {text:?}");
    assert!(text.len() <= 16 * input_bytes + 1024, "{} bytes about {input_bytes}", text.len());
}
