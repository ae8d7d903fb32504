//! User tasks: all that is known of one is in parts of its record.

use super::{
    Error, Said,
    data::{Object, is_set, named, owned, text},
};
use crate::proto::v1::{VariableEvent, history_event::Event};

impl Said<'_> {
    /// A task as a whole. What such an element leaves out is null, which only those that come later need to say.
    pub(super) fn task(&mut self, name: &str) -> Result<(), Error> {
        let data = self.data;
        // A task of no process, which only its definition tells of one whose process instance is not said.
        if text(&data.process_instance).or_else(|| text(&data.process_definition)).is_none() {
            return Ok(());
        }
        let task = Object::default();
        let task = if name == "created" {
            task.text("name", &data.name)
                .text("parentTaskId", &data.parent_task)
                .text("description", &data.description)
                .text("owner", &data.owner)
                .text("assignee", &data.assignee)
                .text("formKey", &data.form_key)
                .text("category", &data.category)
                .time("dueDate", &data.due_date)?
                .time("claimTime", &data.claim_time)?
        } else {
            task.text_or_null("name", &data.name)
                .text_or_null("parentTaskId", &data.parent_task)
                .text_or_null("description", &data.description)
                .text_or_null("owner", &data.owner)
                .text_or_null("assignee", &data.assignee)
                .text_or_null("formKey", &data.form_key)
                .text_or_null("category", &data.category)
                .time_or_null("dueDate", &data.due_date)?
                .time_or_null("claimTime", &data.claim_time)?
        };
        let task = task
            .time("createTime", &data.create_time)?
            .text("taskDefinitionKey", &data.task_definition_key)
            .text("taskDefinitionId", &data.task_definition)
            .whole("priority", &data.priority)?
            .time("endTime", &data.end_time)?
            .text("deleteReason", &data.delete_reason)
            .text("tenantId", &data.tenant)
            .text("executionId", &data.execution)
            .text("processDefinitionId", &data.process_definition)
            .text("scopeId", &data.scope_id)
            .text("subScopeId", &data.sub_scope_id)
            .text("scopeType", &data.scope_type)
            .text("scopeDefinitionId", &data.scope_definition)
            .text("propagatedStageInstanceId", &data.propagated_stage_instance)
            .text("state", &data.state)
            .time("lastUpdatedTime", &data.updated_time)?
            .time("inProgressTime", &data.in_progress_time)?
            .text("inProgressStartedBy", &data.in_progress_by)
            .time("inProgressDueDate", &data.in_progress_due)?
            .text("claimedBy", &data.claimed_by)
            .time("suspendedTime", &data.suspended_time)?
            .text("suspendedBy", &data.suspended_by)
            .text("completedBy", &data.completed_by);
        self.part_of_task(name, task)
    }

    /// The activity has the assignee too, unless the engine has seen to that by itself.
    pub(super) fn task_assignee(&mut self) -> Result<(), Error> {
        let data = self.data;
        let is_of_a_process = [&data.process_instance, &data.execution, &data.activity_instance];
        if is_of_a_process.into_iter().all(|field| text(field).is_none()) {
            return Ok(());
        }
        let assignee = || Object::default().text_or_null("assignee", &data.assignee);
        self.part_of_task("assignee", assignee())?;
        if text(&data.activity_instance).is_some() && !is_set(&data.assignee_handled) {
            self.part_of_activity("assignee", assignee())?;
        }
        Ok(())
    }

    pub(super) fn task_owner(&mut self) -> Result<(), Error> {
        let data = self.data;
        if text(&data.process_instance).or_else(|| text(&data.activity_instance)).is_none() {
            return Ok(());
        }
        self.part_of_task("owner", Object::default().text_or_null("owner", &data.owner))
    }

    /// The task is hidden from then on.
    pub(super) fn task_deleted(&mut self) -> Result<(), Error> {
        let event = VariableEvent { removed: true, ..self.of_task("created")? };
        self.push(Event::Variable(event));
        Ok(())
    }

    fn part_of_task(&mut self, name: &str, fields: Object) -> Result<(), Error> {
        let event =
            VariableEvent { r#type: "json".to_owned(), value: fields.into_bytes(), ..self.of_task(name)? };
        self.push(Event::Variable(event));
        Ok(())
    }

    fn of_task(&self, name: &str) -> Result<VariableEvent, Error> {
        let data = self.data;
        Ok(VariableEvent {
            flow_instance_id: self.flow(&owned(&data.process_instance)),
            scope: format!("@task:{}", named(&data.id, "id")?),
            name: name.to_owned(),
            revision: data.revision()?,
            ..VariableEvent::default()
        })
    }
}
