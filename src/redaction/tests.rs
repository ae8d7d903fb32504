use super::*;
use crate::proto::v1::{FlowEvent, Snapshot, StepEvent, VariableEvent, history_event::Event};

const SALT: &str = "a salt of sixteen bytes or more";

fn rule(app: &str, target: &str, action: RedactionAction) -> RedactionRule {
    let target = if target.starts_with('$') {
        RedactionTarget::Path(target.to_owned())
    } else {
        RedactionTarget::Key(target.to_owned())
    };
    RedactionRule { app: app.to_owned(), target, action }
}

fn compiled(rules: Vec<RedactionRule>) -> Arc<Rules> {
    let redaction = Redaction { rules, salt: Some(SALT.into()), keep_unreadable: false };
    Rules::compile(&redaction).unwrap().unwrap()
}

fn masking(targets: &[&str]) -> Arc<Rules> {
    compiled(targets.iter().map(|target| rule("*", target, RedactionAction::Mask)).collect())
}

fn hashing(target: &str) -> Arc<Rules> {
    compiled(vec![rule("*", target, RedactionAction::Hash)])
}

/// What becomes of a snapshot's data, which masking once more does not change.
fn redacted(rules: &Rules, data: impl Into<Bytes>) -> String {
    let mut event =
        HistoryEvent { event: Some(Event::Snapshot(Snapshot { data: data.into(), ..Snapshot::default() })) };
    rules.redact(&mut event);
    let once = event.clone();
    assert_eq!(rules.redact(&mut event), Looked::IntoAll);
    assert_eq!(event, once);
    match event.event {
        Some(Event::Snapshot(snapshot)) => String::from_utf8(snapshot.data.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_is_masked_wherever_it_is_and_all_else_stays_byte_for_byte() {
    let rules = masking(&["*password*", "pin"]);
    let posted = r#" {"b" : 1.50, "_A.Login.userPassword":"hunter2","a":[{"PIN" : 1e3 ,"x":"\u00fc\/"}, null],
        "pass\u0077ord": {"deep": ["hunter2", {"pin": 1}]}, "pins":0, "password":"a", "password":"b" } "#;
    let wanted = r#" {"b" : 1.50, "_A.Login.userPassword":"***","a":[{"PIN" : "***" ,"x":"\u00fc\/"}, null],
        "pass\u0077ord": "***", "pins":0, "password":"***", "password":"***" } "#;
    assert_eq!(redacted(&rules, posted), wanted);
}

#[test]
fn a_path_leads_from_the_root_of_the_field() {
    let of = |path: &str, text: &'static str| redacted(&masking(&[path]), text);
    assert_eq!(of("$.a.b", r#"{"a":{"b":1,"c":{"b":1}},"b":1}"#), r#"{"a":{"b":"***","c":{"b":1}},"b":1}"#);
    assert_eq!(
        of("$.a[*].b", r#"{"a":[{"b":1},{"c":1},{"b":[1]}]}"#),
        r#"{"a":[{"b":"***"},{"c":1},{"b":"***"}]}"#
    );
    assert_eq!(
        of("$..card", r#"[{"x":{"card":{"n":1}}},{"card":1,"cards":1}]"#),
        r#"[{"x":{"card":"***"}},{"card":"***","cards":1}]"#
    );
    assert_eq!(
        of("$..a..b", r#"{"b":1,"a":{"x":[{"b":1}],"b":1}}"#),
        r#"{"b":1,"a":{"x":[{"b":"***"}],"b":"***"}}"#
    );
    assert_eq!(of("$..a.b", r#"{"a":{"a":{"b":1},"c":{"b":1}}}"#), r#"{"a":{"a":{"b":"***"},"c":{"b":1}}}"#);
    assert_eq!(of("$[1]", "[1,2,[3]]"), r#"[1,"***",[3]]"#);
    assert_eq!(of("$.*", r#"{"a":[1],"b":2}"#), r#"{"a":"***","b":"***"}"#);
    assert_eq!(of("$", " [1, 2] "), " \"***\" ");
    assert_eq!(of("$.1", r#"["a","b"]"#), r#"["a","b"]"#);
    assert_eq!(
        of(
            r#"$.flowChanges.0.attrs["_A.Pay.card"]"#,
            r#"{"flowChanges":{"0":{"attrs":{"_A.Pay.card":"4111","_A.Pay.ok":true}}}}"#
        ),
        r#"{"flowChanges":{"0":{"attrs":{"_A.Pay.card":"***","_A.Pay.ok":true}}}}"#
    );
}

/// `printf %s TEXT | openssl dgst -sha256 -hmac "$SALT"` gives the same.
#[test]
fn a_hash_is_an_hmac_of_the_text_however_it_is_spelled() {
    let rules = hashing("*");
    let hash = |digits: &str| format!("{{\"k\":\"sha256:{digits}\"}}");
    for (value, digits) in [
        (r#""4111 1111 1111 1111""#, "0a0b9c33730ccafa2ae84780f3263729007a8d8b9ec37fc6cc31d52f879a26ab"),
        ("\"ü\"", "2a2d573b3a56b4b4d0362ceebd7fb062652a7072ef657feb94f92035171fb314"),
        (r#""\u00FC""#, "2a2d573b3a56b4b4d0362ceebd7fb062652a7072ef657feb94f92035171fb314"),
        ("12.50", "19f7536c6d15feded5af93396edfa75784ad7981da78ceae05d42b4b4946322b"),
        (r#"{"a": 1}"#, "b763750f1fcc20e78ccf6d9b3fc31bb6486e4231056d6f8aa6b1c175cf1e8711"),
    ] {
        assert_eq!(redacted(&rules, format!("{{\"k\":{value}}}")), hash(digits), "{value}");
    }
}

#[test]
fn what_was_masked_before_is_not_hashed_and_what_was_hashed_is_masked_if_a_rule_says_so() {
    let hash = redacted(&hashing("k"), r#"{"k":1}"#);
    assert_eq!(redacted(&hashing("k"), r#"{"k":"***"}"#), r#"{"k":"***"}"#);
    assert_eq!(redacted(&masking(&["k"]), hash), r#"{"k":"***"}"#);
    // What only looks like a hash is hashed.
    for almost in [r#""sha256:""#, r#""sha256:0A0b""#, r#""SHA256:""#] {
        assert_ne!(redacted(&hashing("k"), format!("{{\"k\":{almost}}}")), format!("{{\"k\":{almost}}}"));
    }
}

#[test]
fn of_two_rules_for_a_value_masking_wins() {
    for order in [[0, 1], [1, 0]] {
        let rules = [rule("*", "k", RedactionAction::Hash), rule("*", "$.k", RedactionAction::Mask)];
        let rules = compiled(order.map(|number| rules[number].clone()).into());
        assert_eq!(redacted(&rules, r#"{"k":1}"#), r#"{"k":"***"}"#);
    }
}

#[test]
fn a_field_that_cannot_be_looked_into_is_masked_whole_unless_it_is_to_be_kept() {
    let rules = vec![rule("*", "k", RedactionAction::Hash)];
    let keeping = Redaction { rules: rules.clone(), salt: Some(SALT.into()), keep_unreadable: true };
    let keeping = Rules::compile(&keeping).unwrap().unwrap();
    let deep = "[".repeat(DEEPEST + 1) + &"]".repeat(DEEPEST + 1);
    for text in
        ["no route to host", "{\"k\":1", "{'k':1}", "{\"k\":1}{}", "{\"k\":01}", "\u{feff}{}", " ", &deep]
    {
        assert_eq!(redacted(&compiled(rules.clone()), text.to_owned()), "\"***\"", "{text:.40}");
        assert_eq!(redacted(&keeping, text.to_owned()), text);
    }
    let latin1 = Bytes::from_static(b"{\"k\":\"\xfc\"}");
    assert_eq!(redacted(&compiled(rules), latin1), "\"***\"");
}

fn flow(app: &str) -> HistoryEvent {
    let text = Bytes::from_static(br#"{"k":1}"#);
    let flow = FlowEvent {
        flow_instance_id: "k".to_owned(),
        app_name: app.to_owned(),
        input: text.clone(),
        output: text.clone(),
        error: text,
        ..FlowEvent::default()
    };
    HistoryEvent { event: Some(Event::Flow(flow)) }
}

#[test]
fn a_rule_for_some_apps_reaches_events_of_others_only_if_these_do_not_say_whose_they_are() {
    let rules = compiled(vec![rule("shop-*", "k", RedactionAction::Mask)]);
    for (app, is_masked) in [("shop-eu", true), ("Shop-EU", true), ("bank", false), ("", true)] {
        let mut event = flow(app);
        rules.redact(&mut event);
        let Some(Event::Flow(flow)) = event.event else { panic!("{app}") };
        let wanted: &[u8] = if is_masked { br#"{"k":"***"}"# } else { br#"{"k":1}"# };
        assert_eq!([&flow.input[..], &flow.output, &flow.error], [wanted; 3], "{app}");
        assert_eq!(flow.flow_instance_id, "k");
    }
    let text = Bytes::from_static(br#"{"k":1}"#);
    let step = StepEvent {
        task_name: "k".to_owned(),
        data: text.clone(),
        input: text.clone(),
        output: text.clone(),
        error: text.clone(),
        misc: text,
        ..StepEvent::default()
    };
    let mut event = HistoryEvent { event: Some(Event::Step(step)) };
    rules.redact(&mut event);
    let Some(Event::Step(step)) = event.event else { panic!("no step") };
    let fields = [step.data, step.input, step.output, step.error, step.misc];
    assert!(fields.iter().all(|field| field == r#"{"k":"***"}"#), "{fields:?}");
    assert_eq!(step.task_name, "k");
    // No app is left out where the event says of one that the rules are not for, unreadable or not.
    let mut event = HistoryEvent {
        event: Some(Event::Flow(FlowEvent {
            app_name: "bank".into(),
            input: "x".into(),
            ..FlowEvent::default()
        })),
    };
    let before = event.clone();
    rules.redact(&mut event);
    assert_eq!(event, before);
}

#[test]
fn what_can_be_no_rules_is_refused_with_the_number_of_the_rule() {
    let compile = |rules: Vec<RedactionRule>| {
        Rules::compile(&Redaction { rules, ..Redaction::default() }).map(|rules| rules.is_some())
    };
    let good = || rule("*", "k", RedactionAction::Mask);
    assert_eq!(compile(Vec::new()), Ok(false));
    assert_eq!(compile(vec![good(); MOST_RULES]), Ok(true));
    assert_eq!(compile(vec![good(); MOST_RULES + 1]), Err(RuleError::TooMany(MOST_RULES + 1)));
    assert_eq!(
        compile(vec![good(), rule("*", "k", RedactionAction::Hash)]),
        Err(RuleError::NoSalt { number: 2 })
    );
    for bad in [
        rule("*", "$.", RedactionAction::Mask),
        rule("*", "", RedactionAction::Mask),
        rule("", "k", RedactionAction::Mask),
    ] {
        let why = compile(vec![good(), bad]).unwrap_err();
        assert!(matches!(why, RuleError::Unreadable { number: 2, .. }), "{why}");
    }
}

#[test]
fn the_last_of_many_rules_counts_too() {
    let mut rules = vec![rule("*", "other", RedactionAction::Mask); MOST_RULES - 1];
    rules.push(rule("*", "$.a[0]", RedactionAction::Mask));
    assert_eq!(redacted(&compiled(rules), r#"{"a":[1,2]}"#), r#"{"a":["***",2]}"#);
}

#[test]
fn the_salt_is_not_shown() {
    let rules = hashing("k");
    assert!(!format!("{rules:?} {:?}", rules.hasher).contains(SALT));
}

/// What becomes of a variable's value and of what else is kept of it.
fn variable(rules: &Rules, name: &str, value: &'static [u8]) -> (Vec<u8>, String, Looked) {
    let misc = Bytes::from_static(br#"{"textValue":"hunter2"}"#);
    let event =
        VariableEvent { name: name.to_owned(), value: value.into(), misc, ..VariableEvent::default() };
    let mut event = HistoryEvent { event: Some(Event::Variable(event)) };
    let looked = rules.redact(&mut event);
    let once = event.clone();
    assert_eq!(rules.redact(&mut event), Looked::IntoAll);
    assert_eq!(event, once);
    let Some(Event::Variable(event)) = event.event else { panic!("{event:?}") };
    (event.value.to_vec(), String::from_utf8(event.misc.to_vec()).unwrap(), looked)
}

#[test]
fn the_name_of_a_variable_is_a_key_and_its_text_stands_without_quotes() {
    let rules = masking(&["*password", "$.order.card", "pin"]);
    let kept = r#"{"textValue":"hunter2"}"#;
    for (name, value, wanted, misc) in [
        ("userPassword", &b"hunter2"[..], &b"***"[..], r#""***""#),
        ("pin", b"1234", br#""***""#, r#""***""#),
        ("say \"pin\"", b"1234", b"1234", kept),
        ("order", br#"{"card": 1, "n":2}"#, br#"{"card": "***", "n":2}"#, r#""***""#),
        ("other", br#"{"card": 1, "a": [{"PIN":3}]}"#, br#"{"card": 1, "a": [{"PIN":"***"}]}"#, r#""***""#),
        ("note", b"a plain text", b"a plain text", kept),
        ("amount", b"1.50", b"1.50", kept),
    ] {
        let got = variable(&rules, name, value);
        assert_eq!(got, (wanted.to_vec(), misc.to_owned(), Looked::IntoAll), "{name}");
    }
    // What was to be JSON, or is no text, can't be looked into.
    for value in [&b"{\"card\": 1"[..], b"\xff\xfe"] {
        assert_eq!(variable(&rules, "order", value).0, br#""***""#);
        assert_eq!(variable(&rules, "order", value).2, Looked::NotIntoAll);
    }
    let (hashed, ..) = variable(&hashing("pin"), "pin", b"one two");
    assert_eq!(hashed, redacted(&hashing("pin"), r#"{"pin":"one two"}"#).into_bytes()[8..8 + 71]);
}
