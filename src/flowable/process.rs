//! Process instances.

use super::{
    Error, Said,
    data::{Object, named, owned, text, time, to_proto},
};
use crate::proto::v1::{FlowDeleted, FlowEvent, FlowStatus, Phase, VariableEvent, history_event::Event};

/// Scope of the parts of a process instance's record.
const PROCESS: &str = "@process";

impl Said<'_> {
    pub(super) fn process_start(&mut self) -> Result<(), Error> {
        let id = self.process_instance()?;
        let event = FlowEvent {
            phase: Phase::Opened.into(),
            status: FlowStatus::Started.into(),
            status_word: "Active".to_owned(),
            ..self.process(&id)?
        };
        self.push(Event::Flow(event));
        self.process_begun(&id)
    }

    /// The end says the beginning once more, which may never have been recorded.
    pub(super) fn process_end(&mut self) -> Result<(), Error> {
        let data = self.data;
        let id = self.process_instance()?;
        let (status, word) = match text(&data.delete_reason) {
            None => (FlowStatus::Completed, "Completed"),
            Some(_) => (FlowStatus::Cancelled, "Cancelled"),
        };
        let event = FlowEvent {
            phase: Phase::Closed.into(),
            status: status.into(),
            status_word: word.to_owned(),
            ended_at: time(&data.end_time, "endTime")?.map(to_proto),
            ..self.process(&id)?
        };
        self.push(Event::Flow(event));
        self.process_begun(&id)?;
        let end = Object::default()
            .text("endActivityId", &data.activity)
            .text("deleteReason", &data.delete_reason)
            .text("name", &data.name)
            .text("businessKey", &data.business_key)
            .text("businessStatus", &data.business_status)
            .text("state", &data.state)
            .text("endUserId", &data.end_user);
        self.part_of_process(&id, "end".to_owned(), end)
    }

    pub(super) fn process_property(&mut self) -> Result<(), Error> {
        let data = self.data;
        let id = self.process_instance()?;
        let property = named(&data.property, "property")?;
        let field = match &*property {
            "name" => &data.name,
            "businessKey" => &data.business_key,
            "businessStatus" => &data.business_status,
            // A later engine may have others, which no record of ours has a place for.
            _ => return Ok(()),
        };
        let changed = Object::default().text_or_null(&property, field);
        self.part_of_process(&id, format!("changed-{property}"), changed)
    }

    pub(super) fn process_definition(&mut self) -> Result<(), Error> {
        let id = self.process_instance()?;
        let changed = Object::default().text("processDefinitionId", &self.data.process_definition);
        self.part_of_process(&id, "changed-processDefinitionId".to_owned(), changed)
    }

    pub(super) fn process_deleted(&mut self) -> Result<(), Error> {
        let flow_instance_id = self.flow(&self.process_instance()?);
        self.push(Event::FlowDeleted(FlowDeleted { flow_instance_id, before: None }));
        Ok(())
    }

    fn process_instance(&self) -> Result<String, Error> {
        let id = text(&self.data.process_instance).or_else(|| text(&self.data.id));
        id.map(Into::into).ok_or(Error::Missing("processInstanceId"))
    }

    /// What start and end say alike.
    fn process(&self, id: &str) -> Result<FlowEvent, Error> {
        let data = self.data;
        let parent = text(&data.super_process_instance);
        Ok(FlowEvent {
            flow_instance_id: self.flow(id),
            user_id: owned(&data.start_user),
            app_name: self.engine.source.to_owned(),
            app_version: owned(&data.process_definition_version),
            flow_name: data.definition_key(),
            started_at: time(&data.start_time, "startTime")?.map(to_proto),
            parent_flow_instance_id: parent.map(|parent| self.flow(&parent)).unwrap_or_default(),
            ..FlowEvent::default()
        })
    }

    fn process_begun(&mut self, id: &str) -> Result<(), Error> {
        let data = self.data;
        let start = Object::default()
            .text("processDefinitionId", &data.process_definition)
            .text("processDefinitionName", &data.process_definition_name)
            .text("processDefinitionCategory", &data.process_definition_category)
            .text("deploymentId", &data.deployment)
            .text("startActivityId", &data.start_activity)
            .text("tenantId", &data.tenant)
            .text("name", &data.name)
            .text("businessKey", &data.business_key)
            .text("businessStatus", &data.business_status)
            .text("callbackId", &data.callback_id)
            .text("callbackType", &data.callback_type)
            .text("referenceId", &data.reference_id)
            .text("referenceType", &data.reference_type)
            .text("propagatedStageInstanceId", &data.propagated_stage_instance);
        self.part_of_process(id, "start".to_owned(), start)
    }

    /// Kept though it may be empty: it tells a process instance from other flows.
    fn part_of_process(&mut self, id: &str, name: String, fields: Object) -> Result<(), Error> {
        let revision = self.data.revision()?;
        self.push(Event::Variable(VariableEvent {
            flow_instance_id: self.flow(id),
            scope: PROCESS.to_owned(),
            name,
            r#type: "json".to_owned(),
            value: fields.into_bytes(),
            revision,
            ..VariableEvent::default()
        }));
        Ok(())
    }
}
