//! JSON text as anybody may write it: any nesting, keys that the rules know and keys that they nearly do, any spelling.

use proptest::prelude::*;

use super::{bodies, try_on};

/// A key, in some spelling.
fn key() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 12] =
        ["password", "Compass", "pin", "PIN", "card", "cards", "a", "b", "list", "x.y", "z", ""];
    let spelled = (prop::sample::select(&KNOWN[..]), any::<prop::sample::Index>()).prop_map(|(key, at)| {
        let spelled = |(number, letter): (usize, char)| {
            if number == at.index(key.len()) {
                format!("\\u{:04x}", u32::from(letter))
            } else {
                letter.to_string()
            }
        };
        format!("\"{}\"", key.chars().enumerate().map(spelled).collect::<String>())
    });
    let plain = prop::sample::select(&KNOWN[..]).prop_map(|key| format!("\"{key}\""));
    prop_oneof![plain, spelled.prop_filter("no letter", |key| key.len() > 2)]
}

fn scalar() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 10] =
        ["0", "-0", "1.50", "1E+3", "true", "null", "\"\"", "\"***\"", "\"\\/\\\"x\\n\"", "\"\\\\\""];
    prop_oneof![
        prop::sample::select(&KNOWN[..]).prop_map(str::to_owned),
        ".{0,6}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ]
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["", "", "", " ", "\n\t"][..])
}

fn json() -> impl Strategy<Value = String> {
    let leaf =
        (space(), scalar(), space()).prop_map(|(before, scalar, behind)| format!("{before}{scalar}{behind}"));
    leaf.prop_recursive(6, 64, 5, |inner| {
        let member = (space(), key(), space(), inner.clone())
            .prop_map(|(a, key, b, value)| format!("{a}{key}{b}:{value}"));
        let joined = |parts: Vec<String>| parts.join(",");
        prop_oneof![
            prop::collection::vec(member, 0..5).prop_map(move |members| format!(" {{{}}}", joined(members))),
            prop::collection::vec(inner, 0..4).prop_map(move |elements| format!("[{}] ", joined(elements))),
        ]
    })
}

#[test]
fn what_the_rules_name_is_masked_and_everything_else_stays() {
    try_on("redaction", 3_000, &json(), |text| {
        assert!(serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok(), "{text}");
        bodies::redaction(text.as_bytes());
    });
}
