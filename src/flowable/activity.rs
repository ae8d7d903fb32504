//! Activity instances.

use super::{
    Error, Said,
    data::{Object, named, owned, text, time, to_proto},
};
use crate::proto::v1::{Phase, StepEvent, StepStatus, VariableEvent, history_event::Event};

impl Said<'_> {
    pub(super) fn activity_start(&mut self) -> Result<(), Error> {
        if self.is_unwanted() {
            return Ok(());
        }
        let event = StepEvent {
            phase: Phase::Opened.into(),
            status: StepStatus::Started.into(),
            status_word: "Active".to_owned(),
            ..self.activity()?
        };
        self.push(Event::Step(event));
        self.findable()?;
        self.changes_of_activity()
    }

    pub(super) fn activity_end(&mut self) -> Result<(), Error> {
        if self.is_unwanted() {
            return Ok(());
        }
        let data = self.data;
        let (status, word) = match text(&data.delete_reason) {
            None => (StepStatus::Completed, "Completed"),
            Some(_) => (StepStatus::Cancelled, "Cancelled"),
        };
        let event = StepEvent {
            phase: Phase::Closed.into(),
            status: status.into(),
            status_word: word.to_owned(),
            ended_at: time(&data.end_time, "endTime")?.map(to_proto),
            ..self.activity()?
        };
        self.push(Event::Step(event));
        if matches!(text(&data.activity_type).as_deref(), Some("userTask" | "callActivity")) {
            self.findable()?;
        }
        self.changes_of_activity()?;
        let end = Object::default()
            .text("deleteReason", &data.delete_reason)
            .text("completedBy", &data.completed_by);
        self.part_of_activity("end", end)
    }

    pub(super) fn activity_update(&mut self) -> Result<(), Error> {
        if let Some(called) = text(&self.data.called_process_instance) {
            let event = StepEvent {
                flow_instance_id: self.flow(&owned(&self.data.process_instance)),
                step_id: self.activity_instance()?,
                phase: Phase::Running.into(),
                subflow_id: self.flow(&called),
                ..StepEvent::default()
            };
            self.push(Event::Step(event));
        }
        self.changes_of_activity()
    }

    /// A part of an activity's record, unless it says nothing.
    pub(super) fn part_of_activity(&mut self, name: &str, fields: Object) -> Result<(), Error> {
        if fields.is_empty() {
            return Ok(());
        }
        let event = VariableEvent {
            flow_instance_id: self.flow(&owned(&self.data.process_instance)),
            scope: format!("@step:{}", self.activity_instance()?),
            name: name.to_owned(),
            r#type: "json".to_owned(),
            value: fields.into_bytes(),
            revision: self.data.revision()?,
            ..VariableEvent::default()
        };
        self.push(Event::Variable(event));
        Ok(())
    }

    fn is_unwanted(&self) -> bool {
        !self.engine.sequence_flows && text(&self.data.activity_type).as_deref() == Some("sequenceFlow")
    }

    /// What may be told later names the activity alone: by this part its flow is found.
    fn findable(&mut self) -> Result<(), Error> {
        self.part_of_activity("start", Object::default().text("activityId", &self.data.activity))
    }

    fn changes_of_activity(&mut self) -> Result<(), Error> {
        let data = self.data;
        self.part_of_activity("assignee", Object::default().text("assignee", &data.assignee))?;
        self.part_of_activity("task", Object::default().text("taskId", &data.task))?;
        let called = Object::default().text("calledProcessInstanceId", &data.called_process_instance);
        self.part_of_activity("called", called)
    }

    fn activity_instance(&self) -> Result<String, Error> {
        Ok(named(&self.data.activity_instance, "runtimeActivityInstanceId")?.into_owned())
    }

    /// What all elements of an activity say alike: rows depend on no order then.
    fn activity(&self) -> Result<StepEvent, Error> {
        let data = self.data;
        let process_instance = named(&data.process_instance, "processInstanceId")?;
        let called = text(&data.called_process_instance);
        Ok(StepEvent {
            flow_instance_id: self.flow(&process_instance),
            step_id: self.activity_instance()?,
            task_name: owned(&data.activity),
            flow_name: data.definition_key(),
            subflow_id: called.map(|called| self.flow(&called)).unwrap_or_default(),
            started_at: time(&data.start_time, "startTime")?.map(to_proto),
            misc: self.misc()?,
            ..StepEvent::default()
        })
    }

    fn misc(&self) -> Result<bytes::Bytes, Error> {
        let data = self.data;
        let misc = Object::default().text("activityType", &data.activity_type);
        if misc.is_empty() {
            return Ok(bytes::Bytes::new());
        }
        let misc = misc
            .text("activityName", &data.activity_name)
            .text("processDefinitionId", &data.process_definition)
            .text("executionId", &data.execution)
            .whole("transactionOrder", &data.transaction_order)?
            .text("tenantId", &data.tenant);
        Ok(misc.into_bytes())
    }
}
