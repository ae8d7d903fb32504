//! The merge law in SQL: how a row `s` that arrives joins a row `t` of the same key that is stored.
//!
//! It is the same law as [`crate::pipeline::merge`]; `tests/it/law.rs` holds the two and a reference model together.
//! Text is compared by bytes (`COLLATE "C"`), a null is lower than anything, and empty text stands for null.

use std::fmt::Write as _;

/// Columns of a table under the law, by the rule that each follows.
pub(crate) struct Law {
    /// Filled in when missing; where two disagree, the greater bytes.
    names: &'static [(&'static str, Kind)],
    /// The longer one, then the greater bytes.
    input: &'static str,
    /// Taken whole from the greater (phase, end, and these).
    piece: &'static [(&'static str, Kind)],
    /// Steps only: the runtime's own record, which an open execution shows by itself; and the re-run flag.
    step: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Bytes,
}

/// `steps` and `ft_superseded_step`.
pub(crate) const STEP: Law = Law {
    names: &[
        ("taskname", Kind::Text),
        ("flowname", Kind::Text),
        ("subflowid", Kind::Text),
        ("parentstepid", Kind::Text),
        ("misc", Kind::Bytes),
    ],
    input: "input",
    piece: &[
        ("status", Kind::Text),
        ("output", Kind::Bytes),
        ("error", Kind::Bytes),
        ("stepdata", Kind::Bytes),
    ],
    step: true,
};

/// `flowstate` and `ft_run`.
pub(crate) const RUN: Law = Law {
    names: &[
        ("userid", Kind::Text),
        ("appname", Kind::Text),
        ("appversion", Kind::Text),
        ("flowname", Kind::Text),
        ("hostid", Kind::Text),
        ("parentflowinstanceid", Kind::Text),
        ("parentflowname", Kind::Text),
        ("rerunofflowinstanceid", Kind::Text),
        ("traceid", Kind::Text),
    ],
    input: "flowinput",
    piece: &[("status", Kind::Text), ("flowoutput", Kind::Bytes), ("error", Kind::Bytes)],
    step: false,
};

/// Number of the phase `closed`.
const CLOSED: i16 = 2;

impl Kind {
    /// A value that sorts by bytes, null lowest. Empty values are never stored, so empty can stand for null.
    fn ordered(self, value: &str) -> String {
        match self {
            Self::Text => format!(r#"COALESCE({value}, '') COLLATE "C""#),
            Self::Bytes => format!("COALESCE({value}, '')"),
        }
    }

    fn greatest(self, a: &str, b: &str) -> String {
        match self {
            Self::Text => format!(r#"GREATEST({a} COLLATE "C", {b})"#),
            Self::Bytes => format!("GREATEST({a}, {b})"),
        }
    }
}

impl Law {
    /// `SET` list that joins `s` into `t`.
    pub(crate) fn set(&self, t: &str, s: &str) -> String {
        let wins = self.wins(t, s);
        let mut set = format!("phase = GREATEST({t}.phase, {s}.phase), starttime = {}", self.start(t, s));
        let mut put = |column: &str, value: String| {
            // Writing to a String can't fail.
            let _ = write!(set, ", {column} = {value}");
        };
        for (name, kind) in self.names {
            put(name, kind.greatest(&format!("{t}.{name}"), &format!("{s}.{name}")));
        }
        let input = self.input;
        put(input, format!("CASE WHEN {} THEN {s}.{input} ELSE {t}.{input} END", self.longer(t, s)));
        put("endtime", Self::pick("endtime", &wins, t, s));
        for (column, _) in self.piece {
            let picked = Self::pick(column, &wins, t, s);
            let open = format!(
                "WHEN GREATEST({t}.phase, {s}.phase) < {CLOSED} THEN GREATEST({t}.stepdata, {s}.stepdata)"
            );
            let of_step = self.step && *column == "stepdata";
            put(column, if of_step { picked.replacen("CASE", &format!("CASE {open}"), 1) } else { picked });
        }
        if self.step {
            put("rerun", format!("({t}.rerun IS TRUE OR {s}.rerun IS TRUE)"));
        }
        set
    }

    /// Whether joining `s` into `t` would change `t`. A row that would not is left alone: even a conflict clause
    /// whose condition is false locks and logs the row.
    pub(crate) fn changes(&self, t: &str, s: &str) -> String {
        let mut any = format!("{} OR {s}.starttime < {t}.starttime", self.wins(t, s));
        let _ = write!(any, " OR ({t}.starttime IS NULL AND {s}.starttime IS NOT NULL)");
        for (name, kind) in self.names {
            let (mine, other) = (kind.ordered(&format!("{t}.{name}")), kind.ordered(&format!("{s}.{name}")));
            let _ = write!(any, " OR {other} > {mine}");
        }
        let _ = write!(any, " OR {}", self.longer(t, s));
        if self.step {
            let (mine, other) = (format!("{t}.stepdata"), format!("{s}.stepdata"));
            let (mine, other) = (Kind::Bytes.ordered(&mine), Kind::Bytes.ordered(&other));
            let _ = write!(any, " OR ({s}.rerun AND {t}.rerun IS NOT TRUE)");
            let _ = write!(any, " OR (GREATEST({t}.phase, {s}.phase) < {CLOSED} AND {other} > {mine})");
        }
        format!("({any})")
    }

    /// `flowstate.executiontime` of the joined row.
    pub(crate) fn execution_time(&self, t: &str, s: &str) -> String {
        execution_time(&self.start(t, s), &Self::pick("endtime", &self.wins(t, s), t, s))
    }

    #[expect(clippy::unused_self, reason = "a rule of the law like the others")]
    fn start(&self, t: &str, s: &str) -> String {
        format!("LEAST({t}.starttime, {s}.starttime)")
    }

    fn pick(column: &str, wins: &str, t: &str, s: &str) -> String {
        format!("CASE WHEN {wins} THEN {s}.{column} ELSE {t}.{column} END")
    }

    /// Whether the piece of `s` is greater than that of `t`. Columns are looked at only until two differ, which the
    /// phase mostly does.
    fn wins(&self, t: &str, s: &str) -> String {
        let piece = |row: &str| {
            let mut list = format!("{row}.phase, COALESCE({row}.endtime, '-infinity')");
            for (column, kind) in self.piece {
                let _ = write!(list, ", {}", kind.ordered(&format!("{row}.{column}")));
            }
            format!("({list})")
        };
        format!("{} > {}", piece(s), piece(t))
    }

    fn longer(&self, t: &str, s: &str) -> String {
        let size = |row: &str| {
            let column = format!("{row}.{}", self.input);
            format!("(COALESCE(octet_length({column}), -1), {})", Kind::Bytes.ordered(&column))
        };
        format!("{} > {}", size(s), size(t))
    }
}

/// Milliseconds between two timestamps with three decimals, as text. `extract` is exact: the stored µs as numeric.
pub(crate) fn execution_time(start: &str, end: &str) -> String {
    format!("(extract(epoch FROM ({end}) - ({start})) * 1000)::numeric(30, 3)::text")
}
