//! What a JSON string says.

use std::borrow::Cow;

/// The text between the quotes of a valid JSON string, without its escapes. Half of a surrogate pair is no character:
/// U+FFFD takes its place, as in other readers of JSON.
pub(super) fn unescaped(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, behind)) = rest.split_once('\\') {
        text.push_str(before);
        let mut letters = behind.chars();
        let (character, behind) = match letters.next() {
            Some('u') => unicode(letters.as_str()),
            Some(letter) => (short(letter), letters.as_str()),
            None => break,
        };
        text.push(character);
        rest = behind;
    }
    text.push_str(rest);
    Cow::Owned(text)
}

fn short(letter: char) -> char {
    match letter {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        itself => itself,
    }
}

/// The character of four hexadecimal digits, or of two times four, and what is behind them.
fn unicode(digits: &str) -> (char, &str) {
    let (first, rest) = unit(digits);
    if (0xd800..0xdc00).contains(&first)
        && let Some((second, behind)) = rest.strip_prefix("\\u").map(unit)
        && (0xdc00..0xe000).contains(&second)
    {
        let character = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
        return (character.unwrap_or(char::REPLACEMENT_CHARACTER), behind);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), rest)
}

fn unit(digits: &str) -> (u32, &str) {
    let (digits, rest) = digits.split_at_checked(4).unwrap_or((digits, ""));
    (u32::from_str_radix(digits, 16).unwrap_or(0xd800), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_escape_is_the_character_that_it_stands_for() {
        assert_eq!(unescaped(r#"a\"\\\/\b\f\n\r\tz"#), "a\"\\/\u{8}\u{c}\n\r\tz");
        assert_eq!(unescaped(r"p\u0061ss\u00FC\ud83d\ude00!"), "passü😀!");
        assert_eq!(unescaped(r"\ud83d\u0061\ud83d"), "\u{fffd}a\u{fffd}");
        assert_eq!(unescaped(r"\udc00\ud800\ud800\udc00"), "\u{fffd}\u{fffd}\u{10000}");
    }

    proptest! {
        #[test]
        fn it_is_what_serde_json_reads(text in ".*") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescaped(&json[1..json.len() - 1]), text);
        }
    }
}
