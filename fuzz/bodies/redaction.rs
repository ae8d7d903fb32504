//! A payload field, beside what a reader that nests by recursion and knows each rule by heart would mask.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flowtrail::{
    config::{Redaction, RedactionAction, RedactionRule, RedactionTarget},
    proto::v1::{HistoryEvent, StepEvent, history_event::Event},
    redaction::{DEEPEST, Rules},
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{AT_LEAST, bounded};

/// What stands where something was.
const MASK: &str = "\"***\"";

fn compiled(action: RedactionAction, keep_unreadable: bool) -> Arc<Rules> {
    let path = |path: &str| RedactionTarget::Path(path.to_owned());
    let key = |key: &str| RedactionTarget::Key(key.to_owned());
    let targets = [
        key("*pass*"),
        key("pin"),
        path("$..card"),
        path("$.a[*].b"),
        path("$.list[1]"),
        path("$[\"x.y\"]..z"),
    ];
    let rules = targets.map(|target| RedactionRule { app: "shop".to_owned(), target, action });
    let salt = Some("correct-horse-battery-staple".into());
    Rules::compile(&Redaction { rules: rules.into(), salt, keep_unreadable }).unwrap().unwrap()
}

/// Rules that mask what the six targets above name.
pub(crate) fn masking() -> &'static Rules {
    static RULES: OnceLock<Arc<Rules>> = OnceLock::new();
    RULES.get_or_init(|| compiled(RedactionAction::Mask, false))
}

fn hashing() -> &'static Rules {
    static RULES: OnceLock<Arc<Rules>> = OnceLock::new();
    RULES.get_or_init(|| compiled(RedactionAction::Hash, true))
}

/// What the same rules say of a place.
fn is_named(place: &[Child]) -> bool {
    use Child::{Element, Member};
    let Some(last) = place.last() else { return false };
    let by_key =
        matches!(last, Member(key) if key.to_lowercase().contains("pass") || key.to_lowercase() == "pin");
    let is = |child: &Child, name: &str| matches!(child, Member(key) if key == name);
    by_key
        || is(last, "card")
        || matches!(place, [a, _, b] if is(a, "a") && is(b, "b"))
        || matches!(place, [first, Element(1)] if is(first, "list"))
        || matches!(place, [first, _, ..] if is(first, "x.y") && is(last, "z"))
}

/// The bytes are a field.
pub fn redaction(input: &[u8]) {
    let masked = bounded(AT_LEAST + 64 * input.len(), || redacted(masking(), input));
    assert_eq!(redacted(masking(), &masked), masked, "what is masked stays");
    let hashed = redacted(hashing(), input);
    assert_eq!(redacted(hashing(), &hashed), hashed, "what is hashed stays");
    if input.is_empty() {
        assert!(masked.is_empty());
        return;
    }
    let text = std::str::from_utf8(input).ok();
    let value = text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    let (Some(text), Some(value)) = (text, value) else {
        assert_eq!(masked, MASK.as_bytes(), "what is no JSON goes as a whole");
        assert_eq!(hashed, input, "or is kept as it is");
        return;
    };
    assert!(serde_json::from_slice::<&RawValue>(&hashed).is_ok(), "JSON stays JSON");
    let mut reference = Reference { text, place: Vec::new(), copied: 0, out: String::new() };
    match reference.value(value) {
        Ok(()) => assert_eq!(String::from_utf8(masked.to_vec()).unwrap(), reference.finish()),
        Err(Beyond::Deepest) => assert_eq!(masked, MASK.as_bytes()),
        // Half a surrogate pair: the reference can't read it.
        Err(Beyond::Unicode) => {}
    }
}

fn redacted(rules: &Rules, field: &[u8]) -> Bytes {
    let step = StepEvent { misc: Bytes::copy_from_slice(field), ..StepEvent::default() };
    let mut event = HistoryEvent { event: Some(Event::Step(step)) };
    rules.redact(&mut event);
    match event.event {
        Some(Event::Step(step)) => step.misc,
        _ => unreachable!("a step stays one"),
    }
}

enum Child {
    Member(String),
    Element(usize),
}

enum Beyond {
    Deepest,
    Unicode,
}

struct Reference<'a> {
    text: &'a str,
    place: Vec<Child>,
    copied: usize,
    out: String,
}

impl<'a> Reference<'a> {
    fn value(&mut self, value: &'a RawValue) -> Result<(), Beyond> {
        let raw = value.get();
        let children: Vec<(Child, &RawValue)> = match raw.as_bytes().first() {
            Some(b'{') => {
                let members: Members<'_> = serde_json::from_str(raw).map_err(|_| Beyond::Unicode)?;
                members.0.into_iter().map(|(key, value)| (Child::Member(key), value)).collect()
            }
            Some(b'[') => {
                let elements: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| Beyond::Unicode)?;
                let numbered = elements.into_iter().enumerate();
                numbered.map(|(number, value)| (Child::Element(number), value)).collect()
            }
            _ => Vec::new(),
        };
        if raw.starts_with(['{', '[']) && self.place.len() >= DEEPEST {
            return Err(Beyond::Deepest);
        }
        for (child, value) in children {
            self.place.push(child);
            let (was_copied, was_out) = (self.copied, self.out.len());
            // Within what is masked there may still be what can't be read.
            self.value(value)?;
            if is_named(&self.place) {
                self.copied = was_copied;
                self.out.truncate(was_out);
                let from = value.get().as_ptr().addr() - self.text.as_ptr().addr();
                self.out.push_str(self.text.get(self.copied..from).unwrap());
                self.out.push_str(MASK);
                self.copied = from + value.get().len();
            }
            self.place.pop();
        }
        Ok(())
    }

    fn finish(mut self) -> String {
        self.out.push_str(self.text.get(self.copied..).unwrap());
        self.out
    }
}

/// Every member of an object, keys that come twice too.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}
