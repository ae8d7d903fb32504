//! The contract only grows: whatever was released is still there, under the same numbers, names and types.

use std::{collections::BTreeMap, fs, path::Path};

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::Type,
};

const RELEASED: &str = "proto/released/history-v1.binpb";

/// What a client may rely on: what it is → how it is.
type Promises = BTreeMap<String, String>;

fn promises(set: &FileDescriptorSet) -> Promises {
    let mut promises = Promises::new();
    for file in set.file.iter().filter(|file| file.package().starts_with("flowtrail.")) {
        for message in &file.message_type {
            of_message(&mut promises, &format!("{}.{}", file.package(), message.name()), message);
        }
        for found in &file.enum_type {
            of_enum(&mut promises, &format!("{}.{}", file.package(), found.name()), found);
        }
    }
    promises
}

fn of_message(promises: &mut Promises, name: &str, message: &DescriptorProto) {
    promises.insert(format!("message {name}"), String::new());
    for field in &message.field {
        promises.insert(format!("field {} of {name}", field.number()), of_field(message, field));
    }
    for inner in &message.nested_type {
        of_message(promises, &format!("{name}.{}", inner.name()), inner);
    }
    for inner in &message.enum_type {
        of_enum(promises, &format!("{name}.{}", inner.name()), inner);
    }
}

fn of_field(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let choice = field.oneof_index.map(|index| message.oneof_decl[usize::try_from(index).unwrap()].name());
    let kind = if field.type_name().is_empty() { field.r#type().as_str_name() } else { field.type_name() };
    format!("{} ({}), {kind}, {:?}, of {choice:?}", field.name(), field.json_name(), field.label())
}

fn of_enum(promises: &mut Promises, name: &str, found: &EnumDescriptorProto) {
    promises.insert(format!("enum {name}"), String::new());
    for value in &found.value {
        promises.insert(format!("value {} of {name}", value.number()), value.name().to_owned());
    }
}

/// What of `released` is not as it was; what is new is no matter.
fn broken(released: &FileDescriptorSet, now: &FileDescriptorSet) -> Vec<String> {
    let now = promises(now);
    let differs = |(what, how): (String, String)| match now.get(&what) {
        None => Some(format!("{what} is gone")),
        Some(found) if *found != how => Some(format!("{what} was {how} and is {found}")),
        Some(_) => None,
    };
    promises(released).into_iter().filter_map(differs).collect()
}

fn contract() -> FileDescriptorSet {
    FileDescriptorSet::decode(flowtrail::proto::DESCRIPTOR).unwrap()
}

#[test]
fn nothing_that_was_released_has_changed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(RELEASED);
    if std::env::var_os("IT_CONTRACT_RELEASE").is_some() {
        fs::write(&path, flowtrail::proto::DESCRIPTOR).unwrap();
    }
    let released = FileDescriptorSet::decode(&*fs::read(&path).unwrap()).unwrap();
    // Messages and enums, their fields and their values, as they were counted by hand in 0.1.
    assert!(promises(&released).len() >= 7 + 3 + 56 + 20);
    assert_eq!(broken(&released, &contract()), [""; 0]);
}

/// The contract with one thing about it changed.
fn changed(
    change: impl FnOnce(&mut Vec<DescriptorProto>, &mut Vec<EnumDescriptorProto>),
) -> FileDescriptorSet {
    let mut set = contract();
    let ours = |file: &&mut prost_types::FileDescriptorProto| file.package() == "flowtrail.history.v1";
    let file = set.file.iter_mut().find(ours).unwrap();
    change(&mut file.message_type, &mut file.enum_type);
    set
}

/// The contract with its first field of the second message changed: `flow_instance_id` of `FlowEvent`.
fn with_field(change: impl FnOnce(&mut FieldDescriptorProto)) -> FileDescriptorSet {
    changed(|messages, _| change(&mut messages[1].field[0]))
}

#[test]
fn whatever_breaks_a_client_is_noticed() {
    let cases = [
        ("a field is removed", changed(|messages, _| drop(messages[1].field.remove(0)))),
        ("a field is renumbered", with_field(|field| field.number = Some(99))),
        ("a field is renamed", with_field(|field| field.name = Some("instance".to_owned()))),
        ("a field has another type", with_field(|field| field.set_type(Type::Bytes))),
        ("a field has many values", with_field(|field| field.label = Some(3))),
        ("a field has another name in JSON", with_field(|field| field.json_name = Some("id".to_owned()))),
        (
            "two fields swap their numbers",
            changed(|messages, _| {
                let fields = &mut messages[1].field;
                (fields[5].number, fields[6].number) = (fields[6].number, fields[5].number);
            }),
        ),
        ("a field leaves its oneof", changed(|messages, _| messages[0].field[0].oneof_index = None)),
        (
            "a field names another message",
            changed(|messages, _| {
                messages[0].field[0].type_name = messages[0].field[1].type_name.clone();
            }),
        ),
        ("a message is removed", changed(|messages, _| drop(messages.pop()))),
        ("a message is renamed", changed(|messages, _| messages[1].name = Some("Flow".to_owned()))),
        ("an enum is removed", changed(|_, enums| drop(enums.remove(0)))),
        ("a value is removed", changed(|_, enums| drop(enums[1].value.remove(2)))),
        ("a value is renumbered", changed(|_, enums| enums[1].value[2].number = Some(101))),
        ("a value is renamed", changed(|_, enums| enums[1].value[2].name = Some("RUNS".to_owned()))),
    ];
    for (what, now) in cases {
        assert_ne!(broken(&contract(), &now), [""; 0], "{what}");
    }
}

#[test]
fn what_is_added_breaks_nothing() {
    let grown = changed(|messages, enums| {
        let mut field = messages[1].field[0].clone();
        (field.name, field.number, field.json_name) =
            (Some("more".to_owned()), Some(100), Some("more".to_owned()));
        messages[1].field.push(field);
        let mut message = messages[1].clone();
        message.name = Some("MoreEvent".to_owned());
        messages.push(message);
        let mut value = enums[1].value[1].clone();
        (value.name, value.number) = (Some("FLOW_STATUS_MORE".to_owned()), Some(900));
        enums[1].value.push(value);
    });
    assert_eq!(broken(&contract(), &grown), [""; 0]);
    assert_ne!(broken(&grown, &contract()), [""; 0]);
}
