package io.flowtrail.flowable;

import flowtrail.history.v1.History.HistoryEvent;
import java.util.Date;
import java.util.Map;
import java.util.function.BiConsumer;
import org.flowable.engine.impl.persistence.entity.ExecutionEntity;
import org.flowable.task.api.TaskInfo;
import org.flowable.task.service.impl.persistence.entity.TaskEntity;

/** User tasks of process instances as parts. */
final class Tasks {
    /** Since 7.0.1: fields by the names of their columns. */
    private static final Map<String, LaterGetter> LATER = Map.of(
            "state", new LaterGetter(TaskInfo.class, "getState"),
            "inProgressTime", new LaterGetter(TaskInfo.class, "getInProgressStartTime"),
            "inProgressStartedBy", new LaterGetter(TaskInfo.class, "getInProgressStartedBy"),
            "claimedBy", new LaterGetter(TaskInfo.class, "getClaimedBy"),
            "suspendedTime", new LaterGetter(TaskInfo.class, "getSuspendedTime"),
            "suspendedBy", new LaterGetter(TaskInfo.class, "getSuspendedBy"),
            "inProgressDueDate", new LaterGetter(TaskInfo.class, "getInProgressStartDueDate"));

    private final Flows flows;

    Tasks(Flows flows) {
        this.flows = flows;
    }

    HistoryEvent created(TaskEntity task, ExecutionEntity execution, Date time) {
        Json fields = identity(task, execution);
        changeable(task, fields::putKnown);
        return part(task, execution, "created", fields.put("lastUpdatedTime", time));
    }

    /** With nulls: a task may be given back by its assignee. */
    HistoryEvent changed(TaskEntity task, Date time) {
        Json fields = new Json();
        changeable(task, fields::putAnyway);
        return part(task, null, "changed", fields.put("lastUpdatedTime", time));
    }

    /** Whole, should no earlier part have come through. */
    HistoryEvent ended(TaskEntity task, ExecutionEntity execution, String userId, String deleteReason, Date time) {
        Json fields = identity(task, execution);
        changeable(task, (field, value) -> fields.putKnown(field, field.equals("state") && value != null ? "completed" : value));
        fields.put("endTime", time).put("deleteReason", deleteReason).put("completedBy", userId);
        return part(task, execution, "ended", fields.put("lastUpdatedTime", time));
    }

    HistoryEvent deleted(TaskInfo task) {
        return Parts.removed(flows.id(task.getProcessInstanceId()), Parts.task(task.getId()), "created");
    }

    private HistoryEvent part(TaskEntity task, ExecutionEntity execution, String name, Json fields) {
        String instance = execution == null ? task.getProcessInstanceId() : execution.getProcessInstanceId();
        return Parts.part(flows.id(instance), Parts.task(task.getId()), name, fields);
    }

    private static Json identity(TaskEntity task, ExecutionEntity execution) {
        String tenant = execution == null ? null : execution.getTenantId();
        return new Json()
                .putKnown("executionId", execution == null ? task.getExecutionId() : execution.getId())
                .putKnown("createTime", task.getCreateTime())
                .putKnown("taskDefinitionId", task.getTaskDefinitionId())
                .putKnown("scopeId", task.getScopeId())
                .putKnown("subScopeId", task.getSubScopeId())
                .putKnown("scopeType", task.getScopeType())
                .putKnown("scopeDefinitionId", task.getScopeDefinitionId())
                .putKnown("propagatedStageInstanceId", task.getPropagatedStageInstanceId())
                .putKnown("tenantId", tenant == null ? task.getTenantId() : tenant);
    }

    /** What the engine's history takes over from a task that is changed. */
    private static void changeable(TaskEntity task, BiConsumer<String, Object> fields) {
        fields.accept("name", task.getName());
        fields.accept("description", task.getDescription());
        fields.accept("parentTaskId", task.getParentTaskId());
        fields.accept("owner", task.getOwner());
        fields.accept("assignee", task.getAssignee());
        fields.accept("taskDefinitionKey", task.getTaskDefinitionKey());
        fields.accept("processDefinitionId", task.getProcessDefinitionId());
        fields.accept("formKey", task.getFormKey());
        fields.accept("priority", task.getPriority());
        fields.accept("dueDate", task.getDueDate());
        fields.accept("category", task.getCategory());
        fields.accept("claimTime", task.getClaimTime());
        LATER.forEach((name, getter) -> fields.accept(name, getter.of(task)));
    }
}
