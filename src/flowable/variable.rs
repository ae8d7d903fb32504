//! Variables of processes, executions and tasks.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use jiff::Timestamp;

use super::{
    Error, Said,
    data::{Data, Object, fraction, named, owned, text, time, to_proto, whole},
};
use crate::proto::v1::{VariableEvent, history_event::Event};

/// What the scope of the part begins with that says where a variable was created.
pub(crate) const OF_VARIABLE: &str = "@variable:";

impl Said<'_> {
    /// One of no process says nothing.
    pub(super) fn variable(&mut self) -> Result<(), Error> {
        let data = self.data;
        let Some(process_instance) = text(&data.process_instance) else { return Ok(()) };
        let event = VariableEvent {
            flow_instance_id: self.flow(&process_instance),
            scope: scope(data, &process_instance),
            name: named(&data.name, "name")?.into_owned(),
            r#type: owned(&data.variable_type),
            value: value(data)?,
            created_at: time(&data.create_time, "createTime")?.map(to_proto),
            updated_at: time(&data.updated_time, "lastUpdatedTime")?.map(to_proto),
            misc: misc(data)?,
            ..self.changed()?
        };
        self.push(Event::Variable(event));
        Ok(())
    }

    /// Its removal names the id alone, and the name may be another's by then: by this part its place is found.
    pub(super) fn variable_created(&mut self) -> Result<(), Error> {
        self.variable()?;
        let data = self.data;
        let Some(process_instance) = text(&data.process_instance) else { return Ok(()) };
        let id = named(&data.id, "id")?;
        let place = serde_json::json!({ "scope": scope(data, &process_instance) });
        let event = VariableEvent {
            scope: format!("{OF_VARIABLE}{id}"),
            name: named(&data.name, "name")?.into_owned(),
            r#type: "json".to_owned(),
            value: place.to_string().into(),
            ..self.changed()?
        };
        self.push(Event::Variable(event));
        Ok(())
    }

    /// It says neither whose the variable was nor its name: those of the id have to be known.
    pub(super) fn variable_removed(&mut self) -> Result<(), Error> {
        let event = VariableEvent { removed: true, ..self.changed()? };
        self.push(Event::Variable(event));
        Ok(())
    }

    /// Changes within one millisecond follow each other by the engine's own counter.
    fn changed(&self) -> Result<VariableEvent, Error> {
        let counter = whole(&self.data.revision, "revision")?.unwrap_or(0).clamp(0, 999);
        Ok(VariableEvent {
            flow_instance_id: self.flow(&owned(&self.data.process_instance)),
            revision: self.data.revision()?.div_euclid(1_000) * 1_000 + counter,
            variable_id: named(&self.data.id, "id")?.into_owned(),
            ..VariableEvent::default()
        })
    }
}

fn scope(data: &Data<'_>, process_instance: &str) -> String {
    match (text(&data.task), text(&data.execution)) {
        (Some(task), _) => format!("task:{task}"),
        (None, Some(execution)) if execution != process_instance => format!("execution:{execution}"),
        _ => String::new(),
    }
}

/// The value in its one spelling, by what the engine calls its type.
fn value(data: &Data<'_>) -> Result<Bytes, Error> {
    let long = whole(&data.long_value, "variableLongValue")?;
    let double = fraction(&data.double_value, "variableDoubleValue")?;
    let millis = || long.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let spelled = match (owned(&data.variable_type).as_str(), long, double) {
        ("boolean", Some(number), _) => Some((number == 1).to_string()),
        ("integer" | "long" | "short", Some(number), _) => Some(number.to_string()),
        ("double", _, Some(number)) => Some(as_java_prints(number)),
        ("date" | "instant", ..) => millis().map(|time| format!("{time:.3}")),
        _ => None,
    };
    if let Some(spelled) = spelled {
        return Ok(spelled.into());
    }
    if let Some(text) = text(&data.text_value) {
        return Ok(text.into_owned().into());
    }
    if let Some(text) = text(&data.bytes_value) {
        let wrong = |_| Error::Field {
            field: "variableBytesValue",
            what: "base64",
            value: text.chars().take(64).collect(),
        };
        // Some versions break it into lines.
        let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        return BASE64_STANDARD.decode(&text).map(Bytes::from).map_err(wrong);
    }
    let number = long.map(|number| number.to_string()).or_else(|| double.map(as_java_prints));
    Ok(number.unwrap_or_default().into())
}

fn misc(data: &Data<'_>) -> Result<Bytes, Error> {
    let misc = Object::default()
        .whole("revision", &data.revision)?
        .whole("longValue", &data.long_value)?
        .fraction("doubleValue", fraction(&data.double_value, "variableDoubleValue")?)
        .text("textValue", &data.text_value)
        .text("textValue2", &data.text_value_2)
        .text("metaInfo", &data.meta_info)
        .text("executionId", &data.execution)
        .text("taskId", &data.task)
        .text("scopeId", &data.scope_id)
        .text("subScopeId", &data.sub_scope_id)
        .text("scopeType", &data.scope_type);
    Ok(if misc.is_empty() { Bytes::new() } else { misc.into_bytes() })
}

/// As `Double.toString`: at least one digit behind the point, and a power of ten below 10⁻³ and from 10⁷.
fn as_java_prints(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    if number == 0.0 || (1e-3..1e7).contains(&number.abs()) {
        let plain = number.to_string();
        return if plain.contains('.') { plain } else { format!("{plain}.0") };
    }
    let point = if digits.contains('.') { "" } else { ".0" };
    format!("{digits}{point}E{power}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_is_spelled_as_java_spells_it() {
        // What `Double.toString` says it gives.
        for (number, said) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1.234_567_89e8, "1.23456789E8"),
            (f64::INFINITY, "Infinity"),
        ] {
            assert_eq!(as_java_prints(number), said);
        }
    }
}
