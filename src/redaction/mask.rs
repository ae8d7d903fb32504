//! One pass over the JSON of one field.

use std::borrow::Cow;

use super::{
    Active, MASK, Rules, Target,
    glob::lower_into,
    hash::is_hash,
    path::{Child, START, States},
    text::unescaped,
    tokens::{Container, Token, Tokens, Unreadable},
};
use crate::config::RedactionAction as Action;

/// The field with what the rules name masked; `None` if nothing of it is.
pub(super) fn field(bytes: &[u8], rules: &Rules, active: Active) -> Result<Option<Vec<u8>>, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable)?;
    let mut pass = Pass {
        rules,
        active,
        text,
        places: Places::default(),
        hidden: None,
        copied: 0,
        out: String::new(),
        key: None,
        lower: String::new(),
    };
    let mut tokens = Tokens::of(text);
    while let Some(token) = tokens.next()? {
        pass.take(token, tokens.end());
    }
    Ok(pass.finish().map(String::into_bytes))
}

/// The containers that a place is in.
#[derive(Default)]
struct Places {
    /// Of each: elements that were met, if it is an array.
    open: Vec<(Container, u64)>,
    /// Of each: the states of every rule's path, one behind the other.
    states: Vec<States>,
}

/// A container that goes as a whole.
struct Hidden {
    from: usize,
    /// Containers around it.
    depth: usize,
    action: Action,
}

struct Pass<'a> {
    rules: &'a Rules,
    active: Active,
    text: &'a str,
    places: Places,
    hidden: Option<Hidden>,
    /// How much of the text is in `out`.
    copied: usize,
    out: String,
    /// The key of the value that comes next.
    key: Option<&'a str>,
    /// The key as patterns are held against it; kept for its memory.
    lower: String,
}

impl<'a> Pass<'a> {
    /// Takes a token that ends at `end`.
    fn take(&mut self, token: Token<'a>, end: usize) {
        match token {
            Token::Key(key) => self.key = Some(key),
            Token::Scalar(scalar) => {
                if let Some(action) = self.judge(None) {
                    self.replace(end - scalar.len(), end, action);
                }
            }
            Token::Open(container) => {
                let action = self.judge(Some(container));
                if let Some(action) = action {
                    let depth = self.places.open.len() - 1;
                    self.hidden = Some(Hidden { from: end - 1, depth, action });
                }
            }
            Token::Close => {
                self.places.open.pop();
                let depth = self.places.open.len();
                self.places.states.truncate(depth * self.rules.all.len());
                if let Some(hidden) = self.hidden.take_if(|hidden| hidden.depth == depth) {
                    self.replace(hidden.from, end, hidden.action);
                }
            }
        }
    }

    /// What becomes of the value that begins here; a container is entered.
    fn judge(&mut self, opens: Option<Container>) -> Option<Action> {
        let key = self.key.take().map(unescaped);
        let around = self.places.open.last_mut();
        let child = match (around, &key) {
            (None, _) => None,
            (Some((Container::Object, _)), key) => Some(Child::Member(key.as_deref().unwrap_or_default())),
            (Some((Container::Array, met)), _) => {
                *met += 1;
                Some(Child::Element(*met - 1))
            }
        };
        let is_hidden = self.hidden.is_some();
        let action = if is_hidden { None } else { self.action(child, opens.is_some()) };
        if let Some(container) = opens {
            if is_hidden {
                // Nothing within is looked at any more.
                let count = self.places.states.len() + self.rules.all.len();
                self.places.states.resize(count, 0);
            }
            self.places.open.push((container, 0));
        }
        action
    }

    /// The strictest of what the rules say of a child of the innermost container; of the whole field without one. If it
    /// `opens`, the states within are put behind the others.
    fn action(&mut self, child: Option<Child<'_>>, opens: bool) -> Option<Action> {
        let count = self.rules.all.len();
        let around = self.places.states.len().saturating_sub(count);
        if let Some(Child::Member(key)) = child {
            lower_into(&mut self.lower, key);
        }
        let mut strictest = None;
        for (number, rule) in self.rules.all.iter().enumerate() {
            let (is_named, within) = match (&rule.target, child) {
                _ if !self.active.has(number) => (false, 0),
                (Target::Key(pattern), Some(Child::Member(_))) => (pattern.matches(&self.lower), 0),
                (Target::Key(_), _) => (false, 0),
                (Target::Path(path), None) => (path.is_root(), START),
                (Target::Path(path), Some(child)) => {
                    path.enter(self.places.states.get(around + number).copied().unwrap_or(0), child)
                }
            };
            if is_named && strictest != Some(Action::Mask) {
                strictest = Some(rule.action);
            }
            if opens {
                self.places.states.push(within);
            }
        }
        strictest
    }

    fn replace(&mut self, from: usize, to: usize, action: Action) {
        let Some(value) = self.text.get(from..to) else { return };
        let masked = match (action, &self.rules.hasher) {
            // Masked before, perhaps by who passed it on.
            _ if value == MASK => return,
            (Action::Hash, Some(_)) if is_hash(value) => return,
            (Action::Hash, Some(hasher)) => Cow::Owned(hasher.hash(&said(value))),
            (Action::Mask, _) | (Action::Hash, None) => Cow::Borrowed(MASK),
        };
        self.out.push_str(self.text.get(self.copied..from).unwrap_or_default());
        self.out.push_str(&masked);
        self.copied = to;
    }

    fn finish(mut self) -> Option<String> {
        if self.copied == 0 {
            return None;
        }
        self.out.push_str(self.text.get(self.copied..).unwrap_or_default());
        Some(self.out)
    }
}

/// A string's text, so that it does not matter how it is spelled; anything else as it is written.
fn said(value: &str) -> Cow<'_, str> {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.map_or(Cow::Borrowed(value), unescaped)
}
