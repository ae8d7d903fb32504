//! What nobody is to read is masked in an event's payloads, by rules over their JSON. Pure.
//!
//! Only what a rule names is replaced; everything else stays byte for byte: order, white space, the spelling of numbers
//! and of escapes. So a field is read as text ([`tokens`]), not parsed and printed. Masking what is masked changes
//! nothing, so that gateway and collector may both do it.
//!
//! What becomes of an event depends on the event alone. A flow event says of which app it is, a step and a snapshot do
//! not: rules for one app reach the steps of all, or rows would depend on what was seen before.

mod event;
pub(crate) mod glob;
mod hash;
mod mask;
mod path;
mod text;
mod tokens;
mod variable;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use secrecy::ExposeSecret as _;

pub(crate) use self::event::Redact;
use self::{glob::Glob, hash::Hasher, path::Path};
use crate::{
    config::{Redaction, RedactionAction, RedactionRule, RedactionTarget},
    proto::v1::HistoryEvent,
};

/// Rules that there may be: each is a bit of [`Active`].
pub const MOST_RULES: usize = 128;

/// JSON that is nested deeper is not looked into.
pub const DEEPEST: usize = tokens::DEEPEST;

/// What stands where something was, as JSON text.
const MASK: &str = "\"***\"";

/// Why there are no rules to work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A path or a pattern can't be read.
    #[error("rule {number}: {why}")]
    Unreadable {
        /// Which rule, counted from 1.
        number: usize,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// Without a key, who guesses a value can tell that it was this one.
    #[error("rule {number} hashes, which needs a key: set redaction.salt")]
    NoSalt {
        /// Which rule, counted from 1.
        number: usize,
    },
    /// More than [`MOST_RULES`].
    #[error("{0} rules are more than the {MOST_RULES} that there may be")]
    TooMany(usize),
}

/// Rules, ready to be applied.
pub struct Rules {
    all: Vec<Rule>,
    hasher: Option<Hasher>,
    keep_unreadable: bool,
}

struct Rule {
    /// `None`: every app.
    app: Option<Glob>,
    target: Target,
    action: RedactionAction,
}

enum Target {
    Key(Glob),
    Path(Path),
}

/// Whether an event's fields could be looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// All of them that rules apply to, or those that can't be are to be kept.
    IntoAll,
    /// One at least was masked as a whole.
    NotIntoAll,
}

/// The rules that apply to an event, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Active(u128);

impl Active {
    fn has(self, number: usize) -> bool {
        self.0 >> number & 1 == 1
    }
}

impl Rules {
    /// The rules of a configuration; `None` if it has none, which costs nothing.
    pub fn compile(redaction: &Redaction) -> Result<Option<Arc<Self>>, RuleError> {
        if redaction.rules.is_empty() {
            return Ok(None);
        }
        if redaction.rules.len() > MOST_RULES {
            return Err(RuleError::TooMany(redaction.rules.len()));
        }
        let hasher = redaction.salt.as_ref().map(|salt| Hasher::new(salt.expose_secret().as_bytes()));
        let mut all = Vec::with_capacity(redaction.rules.len());
        for (rule, number) in redaction.rules.iter().zip(1..) {
            if rule.action == RedactionAction::Hash && hasher.is_none() {
                return Err(RuleError::NoSalt { number });
            }
            all.push(Rule::compile(rule).map_err(|why| RuleError::Unreadable { number, why })?);
        }
        Ok(Some(Arc::new(Self { all, hasher, keep_unreadable: redaction.keep_unreadable })))
    }

    /// Masks an event's payload fields.
    ///
    /// A field that is not JSON, or is nested deeper than [`DEEPEST`], can't be looked into: all of it is masked as soon as
    /// any rule applies to the event, unless `redaction.keep_unreadable` is set. Takes time and memory in proportion to
    /// the event's length.
    pub fn redact(&self, event: &mut HistoryEvent) -> Looked {
        event.redact(self)
    }

    /// Whether what can't be looked into is kept as it is.
    pub(crate) fn keep_unreadable(&self) -> bool {
        self.keep_unreadable
    }

    /// Masks fields of an event that says of which app it is; an empty name says nothing.
    fn fields<const N: usize>(&self, app: &[u8], fields: [&mut Bytes; N]) -> Looked {
        let (active, mut looked) = (self.active(app), Looked::IntoAll);
        if active == Active(0) {
            return looked;
        }
        for field in fields.into_iter().filter(|field| !field.is_empty()) {
            match mask::field(field, self, active) {
                Ok(None) => {}
                Ok(Some(masked)) => *field = masked.into(),
                Err(_) if self.keep_unreadable => {}
                Err(_) => {
                    *field = Bytes::from_static(MASK.as_bytes());
                    looked = Looked::NotIntoAll;
                }
            }
        }
        looked
    }

    fn active(&self, app: &[u8]) -> Active {
        // What is not text is told from no app that a rule could leave out.
        let app = std::str::from_utf8(app).ok().filter(|app| !app.is_empty()).map(glob::lower);
        let applies = |rule: &Rule| match (&rule.app, &app) {
            (Some(pattern), Some(app)) => pattern.matches(app),
            _ => true,
        };
        let bits = self.all.iter().enumerate().filter(|(_, rule)| applies(rule));
        Active(bits.fold(0, |active, (number, _)| active | 1 << number))
    }
}

impl Rule {
    fn compile(rule: &RedactionRule) -> Result<Self, String> {
        let target = match &rule.target {
            RedactionTarget::Key(pattern) => Target::Key(Glob::new(pattern)?),
            RedactionTarget::Path(path) => Target::Path(Path::parse(path)?),
        };
        let app = if rule.app == "*" { None } else { Some(Glob::new(&rule.app)?) };
        Ok(Self { app, target, action: rule.action })
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("count", &self.all.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
