//! Paths: a small part of those of RFC 9535.
//!
//! `$` is the whole field. `.name` and `["any text"]` are a member, `[3]` an element, `.*` and `[*]` all that a container
//! holds, and `..` before a name, a bracket or `*` looks for it at any depth. Names are taken exactly.

use std::{iter::Peekable, str::Chars};

/// Steps that a path may have: each is a bit of [`States`].
const MOST_STEPS: usize = 63;

/// Which steps of a path may come next at some place in a text: a bit for each.
pub(super) type States = u64;

/// Before the first step.
pub(super) const START: States = 1;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    steps: Vec<Step>,
}

#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// At any depth.
    anywhere: bool,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Name(String),
    Index(u64),
    Any,
}

/// What a container holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Child<'a> {
    /// The value of a key, without the key's escapes.
    Member(&'a str),
    Element(u64),
}

impl Path {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.chars().peekable();
        let steps = if rest.next() == Some('$') { steps(&mut rest) } else { Err("does not begin with $") };
        match steps {
            Ok(steps) if steps.len() > MOST_STEPS => Err(format!("a path has at most {MOST_STEPS} steps")),
            Ok(steps) => Ok(Self { steps }),
            Err(why) => Err(format!(
                "want a path like $.a.b, $.a[*].b, $..card or $.attrs[\"_A.Task.field\"]; \"{text}\" {why}"
            )),
        }
    }

    /// Whether it is the whole field.
    pub(super) fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// Goes on to a child: whether the path ends there, and which steps may come next within it.
    pub(super) fn enter(&self, states: States, child: Child<'_>) -> (bool, States) {
        let (mut ends, mut within) = (false, 0);
        for (number, step) in self.steps.iter().enumerate().filter(|(number, _)| states >> number & 1 == 1) {
            if step.anywhere {
                within |= 1 << number;
            }
            if step.what.is(child) {
                ends |= number + 1 == self.steps.len();
                within |= 1 << (number + 1);
            }
        }
        (ends, within)
    }
}

impl What {
    fn is(&self, child: Child<'_>) -> bool {
        match (self, child) {
            (Self::Any, _) => true,
            (Self::Name(name), Child::Member(key)) => name == key,
            (Self::Index(index), Child::Element(number)) => *index == number,
            (Self::Name(_), Child::Element(_)) | (Self::Index(_), Child::Member(_)) => false,
        }
    }
}

fn steps(rest: &mut Peekable<Chars<'_>>) -> Result<Vec<Step>, &'static str> {
    let mut steps = Vec::new();
    while let Some(mark) = rest.next() {
        let anywhere = mark == '.' && rest.next_if_eq(&'.').is_some();
        let what = match mark {
            '[' => bracket(rest)?,
            '.' if anywhere && rest.next_if_eq(&'[').is_some() => bracket(rest)?,
            '.' => dotted(rest)?,
            _ => return Err("has something other than . or [ behind a name"),
        };
        steps.push(Step { anywhere, what });
    }
    Ok(steps)
}

/// `name` or `*`, behind a dot.
fn dotted(rest: &mut Peekable<Chars<'_>>) -> Result<What, &'static str> {
    let mut name = String::new();
    while let Some(letter) = rest.next_if(|letter| !matches!(letter, '.' | '[')) {
        name.push(letter);
    }
    match name.as_str() {
        "" => Err("has a dot without a name"),
        "*" => Ok(What::Any),
        text if text.contains([']', '*', '\'', '"', '\\']) || text.contains(char::is_whitespace) => {
            Err("has a name that must stand in brackets and quotes")
        }
        _ => Ok(What::Name(name)),
    }
}

/// `*]`, `3]`, `"name"]` or `'name']`, behind a bracket. In quotes, `\` takes the next letter as it is.
fn bracket(rest: &mut Peekable<Chars<'_>>) -> Result<What, &'static str> {
    const OPEN: &str = "has a bracket that does not end";
    let what = match rest.next().ok_or(OPEN)? {
        '*' => What::Any,
        quote @ ('"' | '\'') => {
            let mut name = String::new();
            loop {
                match rest.next().ok_or(OPEN)? {
                    '\\' => name.push(rest.next().ok_or(OPEN)?),
                    letter if letter == quote => break,
                    letter => name.push(letter),
                }
            }
            What::Name(name)
        }
        digit => {
            let mut digits = String::from(digit);
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            What::Index(digits.parse().map_err(|_| "wants *, a number or a name in quotes between brackets")?)
        }
    };
    if rest.next() == Some(']') { Ok(what) } else { Err(OPEN) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> What {
        What::Name(text.to_owned())
    }

    #[test]
    fn a_path_is_read_step_by_step() {
        let of = |text: &str| Path::parse(text).unwrap().steps;
        let step = |anywhere, what| Step { anywhere, what };
        assert_eq!(of("$"), []);
        assert_eq!(
            of("$.a[*].b-ü"),
            [step(false, name("a")), step(false, What::Any), step(false, name("b-ü"))]
        );
        assert_eq!(of("$..card[12]"), [step(true, name("card")), step(false, What::Index(12))]);
        assert_eq!(
            of(r#"$.0.attrs["_A.T[1].f"]..['it\'s']..*"#),
            [
                step(false, name("0")),
                step(false, name("attrs")),
                step(false, name("_A.T[1].f")),
                step(true, name("it's")),
                step(true, What::Any),
            ]
        );
    }

    #[test]
    fn what_is_no_path_is_refused_with_a_reason() {
        for text in [
            "",
            "a.b",
            "$a",
            "$.",
            "$..",
            "$.a.",
            "$.a b",
            "$.a*",
            "$[",
            "$[]",
            "$[1",
            "$[a]",
            "$[-1]",
            "$['a]",
            "$[\"a\\",
            "$['a'x]",
            "$...a",
            "$.a]",
            "$[99999999999999999999]",
            "*",
        ] {
            let why = Path::parse(text).unwrap_err();
            assert!(why.contains(&format!("\"{text}\"")), "{why}");
        }
        assert!(Path::parse(&format!("${}", ".a".repeat(MOST_STEPS))).is_ok());
        assert!(Path::parse(&format!("${}", ".a".repeat(MOST_STEPS + 1))).is_err());
    }
}
