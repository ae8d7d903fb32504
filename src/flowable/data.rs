//! The fields of an element. Numbers may be text, as older engines wrote them.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use serde_json::{Map, Value};

use super::Error;

/// A value that is no object and no array.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    Text(Cow<'a, str>),
    Whole(i64),
    Fraction(f64),
    Flag(bool),
}

/// A field, if it is there and not null.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Field<'a>(#[serde(borrow)] Option<Scalar<'a>>);

/// Fields, each with its name.
macro_rules! fields {
    ($($field:ident $name:literal),* $(,)?) => {
        /// What is read of an element: all that any kind of element that is kept has.
        #[derive(Debug, Default, Deserialize)]
        pub(super) struct Data<'a> {
            $(
                #[serde(rename = $name, borrow, default)]
                pub(super) $field: Field<'a>,
            )*
        }
    };
}

fields! {
    id "id", revision "revision", process_instance "processInstanceId", name "name", business_key "businessKey",
    business_status "businessStatus", deployment "deploymentId", start_time "startTime", start_user "startUserId",
    start_activity "startActivityId", super_process_instance "superProcessInstanceId", callback_id "callbackId",
    callback_type "callbackType", reference_id "referenceId", reference_type "referenceType",
    propagated_stage_instance "propagatedStageInstanceId", tenant "tenantId", process_definition "processDefinitionId",
    process_definition_key "processDefinitionKey", process_definition_name "processDefinitionName",
    process_definition_version "processDefinitionVersion", process_definition_category "processDefinitionCategory",
    end_time "endTime", activity "activityId", delete_reason "deleteReason", property "property",
    activity_instance "runtimeActivityInstanceId", execution "executionId", activity_name "activityName",
    activity_type "activityType", transaction_order "transactionOrder", assignee "assignee", task "taskId",
    called_process_instance "calledProcessInstanceId", parent_task "parentTaskId", description "description",
    owner "owner", create_time "createTime", task_definition_key "taskDefinitionKey",
    task_definition "taskDefinitionId", form_key "formKey", priority "priority", due_date "dueDate",
    category "category", claim_time "claimTime", assignee_handled "activityAssigneeHandled", scope_id "scopeId",
    sub_scope_id "subScopeId", scope_type "scopeType", scope_definition "scopeDefinitionId", state "state",
    variable_type "variableType", text_value "variableTextValue", text_value_2 "variableTextValue2",
    double_value "variableDoubleValue", long_value "variableLongValue", bytes_value "variableBytesValue",
    meta_info "variableMetaInfo", updated_time "lastUpdatedTime", end_user "endUserId", completed_by "completedBy",
    claimed_by "claimedBy", in_progress_time "inProgressTime", in_progress_by "inProgressStartedBy",
    in_progress_due "inProgressDueDate", suspended_time "suspendedTime", suspended_by "suspendedBy",
    time_stamp "__timeStamp",
}

/// Text; numbers and flags as they are written. Empty text is missing.
pub(super) fn text<'a>(field: &'a Field<'a>) -> Option<Cow<'a, str>> {
    match field.0.as_ref()? {
        Scalar::Text(text) if text.is_empty() => None,
        Scalar::Text(text) => Some(Cow::Borrowed(text)),
        Scalar::Whole(number) => Some(number.to_string().into()),
        Scalar::Fraction(number) => Some(number.to_string().into()),
        Scalar::Flag(flag) => Some(flag.to_string().into()),
    }
}

/// Text, or nothing as empty text.
pub(super) fn owned<'a>(field: &'a Field<'a>) -> String {
    text(field).unwrap_or_default().into_owned()
}

/// Text that has to be there.
pub(super) fn named<'a>(field: &'a Field<'a>, name: &'static str) -> Result<Cow<'a, str>, Error> {
    text(field).ok_or(Error::Missing(name))
}

/// A whole number.
pub(super) fn whole(field: &Field<'_>, name: &'static str) -> Result<Option<i64>, Error> {
    let wrong = |value: String| Error::Field { field: name, what: "whole number", value };
    match &field.0 {
        None => Ok(None),
        Some(Scalar::Whole(number)) => Ok(Some(*number)),
        Some(Scalar::Text(text)) if text.is_empty() => Ok(None),
        Some(Scalar::Text(text)) => text.parse().map(Some).map_err(|_| wrong(text.to_string())),
        Some(_) => Err(wrong(owned(field))),
    }
}

/// Any number.
pub(super) fn fraction(field: &Field<'_>, name: &'static str) -> Result<Option<f64>, Error> {
    let parsed = |text: &str| {
        let wrong = |_| Error::Field { field: name, what: "number", value: text.to_owned() };
        text.parse::<f64>().map(Some).map_err(wrong)
    };
    match &field.0 {
        None => Ok(None),
        Some(Scalar::Fraction(number)) => Ok(Some(*number)),
        Some(Scalar::Text(text)) if text.is_empty() => Ok(None),
        Some(Scalar::Text(text)) => parsed(text),
        Some(Scalar::Whole(_) | Scalar::Flag(_)) => parsed(&owned(field)),
    }
}

/// Whether a flag is set.
pub(super) fn is_set(field: &Field<'_>) -> bool {
    match &field.0 {
        Some(Scalar::Flag(flag)) => *flag,
        Some(Scalar::Text(text)) => text == "true",
        _ => false,
    }
}

/// A time, which engines write in UTC with milliseconds.
pub(super) fn time(field: &Field<'_>, name: &'static str) -> Result<Option<Timestamp>, Error> {
    let Some(text) = text(field) else { return Ok(None) };
    let wrong = |_| Error::Field { field: name, what: "time", value: text.to_string() };
    text.parse().map(Some).map_err(wrong)
}

/// A time as the contract has it.
pub(super) fn to_proto(time: Timestamp) -> pbjson_types::Timestamp {
    let nanos = time.as_nanosecond().rem_euclid(1_000_000_000);
    let seconds = time.as_nanosecond().div_euclid(1_000_000_000);
    pbjson_types::Timestamp {
        seconds: i64::try_from(seconds).unwrap_or_default(),
        nanos: i32::try_from(nanos).unwrap_or_default(),
    }
}

impl Data<'_> {
    /// When the engine said it, in µs: what orders changes. Where it does not say, when the latest of what it tells of
    /// happened; 0 where it tells no time.
    pub(super) fn revision(&self) -> Result<i64, Error> {
        let stamps = [
            (&self.time_stamp, "__timeStamp"),
            (&self.updated_time, "lastUpdatedTime"),
            (&self.end_time, "endTime"),
            (&self.create_time, "createTime"),
            (&self.start_time, "startTime"),
        ];
        for (field, name) in stamps {
            if let Some(time) = time(field, name)? {
                return Ok(time.as_microsecond());
            }
        }
        Ok(0)
    }

    /// Key of the definition: as it is said, or the part of its id before the first colon.
    pub(super) fn definition_key(&self) -> String {
        text(&self.process_definition_key).map_or_else(
            || {
                let id = owned(&self.process_definition);
                id.split(':').next().unwrap_or_default().to_owned()
            },
            Cow::into_owned,
        )
    }
}

/// A JSON object in the making; what is null or empty text is left out of it.
#[derive(Debug, Default)]
pub(super) struct Object(Map<String, Value>);

impl Object {
    pub(super) fn text(mut self, key: &str, field: &Field<'_>) -> Self {
        if let Some(text) = text(field) {
            self.0.insert(key.to_owned(), Value::String(text.into_owned()));
        }
        self
    }

    /// Text, or null where there is none, which sets the field back.
    pub(super) fn text_or_null(mut self, key: &str, field: &Field<'_>) -> Self {
        let value = text(field).map_or(Value::Null, |text| Value::String(text.into_owned()));
        self.0.insert(key.to_owned(), value);
        self
    }

    pub(super) fn whole(mut self, key: &'static str, field: &Field<'_>) -> Result<Self, Error> {
        if let Some(number) = whole(field, key)? {
            self.0.insert(key.to_owned(), number.into());
        }
        Ok(self)
    }

    /// A number that JSON can hold; NaN and infinities are none.
    pub(super) fn fraction(mut self, key: &str, number: Option<f64>) -> Self {
        if let Some(number) = number.and_then(serde_json::Number::from_f64) {
            self.0.insert(key.to_owned(), Value::Number(number));
        }
        self
    }

    /// A time in UTC with milliseconds.
    pub(super) fn time(mut self, key: &'static str, field: &Field<'_>) -> Result<Self, Error> {
        if let Some(time) = time(field, key)? {
            self.0.insert(key.to_owned(), format!("{time:.3}").into());
        }
        Ok(self)
    }

    /// A time, or null where there is none, which sets the field back.
    pub(super) fn time_or_null(self, key: &'static str, field: &Field<'_>) -> Result<Self, Error> {
        let mut with = self.time(key, field)?;
        if text(field).is_none() {
            with.0.insert(key.to_owned(), Value::Null);
        }
        Ok(with)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without spaces.
    pub(super) fn into_bytes(self) -> bytes::Bytes {
        Value::Object(self.0).to_string().into()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number or a flag")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Whole(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(i64::try_from(number)
                    .map_or_else(|_| Scalar::Text(number.to_string().into()), Scalar::Whole))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Fraction(number))
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Flag(flag))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
