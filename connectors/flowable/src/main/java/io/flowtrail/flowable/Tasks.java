package io.flowtrail.flowable;

import flowtrail.history.v1.History.HistoryEvent;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.Map;
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
        Json fields = new Json();
        identity(task, execution).forEach(fields::putKnown);
        changeable(task).forEach(fields::putKnown);
        return part(task, execution, "created", fields.put("lastUpdatedTime", time));
    }

    /** With nulls: a task may be given back by its assignee. */
    HistoryEvent changed(TaskEntity task, Date time) {
        Json fields = new Json();
        changeable(task).forEach(fields::putAnyway);
        return part(task, null, "changed", fields.put("lastUpdatedTime", time));
    }

    /** Whole, should no earlier part have come through. */
    HistoryEvent ended(TaskEntity task, ExecutionEntity execution, String userId, String deleteReason, Date time) {
        Json fields = new Json();
        identity(task, execution).forEach(fields::putKnown);
        Map<String, Object> now = changeable(task);
        now.computeIfPresent("state", (field, state) -> "completed");
        now.forEach(fields::putKnown);
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

    private static Map<String, Object> identity(TaskEntity task, ExecutionEntity execution) {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("executionId", execution == null ? task.getExecutionId() : execution.getId());
        fields.put("createTime", task.getCreateTime());
        fields.put("taskDefinitionId", task.getTaskDefinitionId());
        fields.put("scopeId", task.getScopeId());
        fields.put("subScopeId", task.getSubScopeId());
        fields.put("scopeType", task.getScopeType());
        fields.put("scopeDefinitionId", task.getScopeDefinitionId());
        fields.put("propagatedStageInstanceId", task.getPropagatedStageInstanceId());
        String tenant = execution == null ? null : execution.getTenantId();
        fields.put("tenantId", tenant == null ? task.getTenantId() : tenant);
        return fields;
    }

    /** What the engine's history takes over from a task that is changed. */
    private static Map<String, Object> changeable(TaskEntity task) {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("name", task.getName());
        fields.put("description", task.getDescription());
        fields.put("parentTaskId", task.getParentTaskId());
        fields.put("owner", task.getOwner());
        fields.put("assignee", task.getAssignee());
        fields.put("taskDefinitionKey", task.getTaskDefinitionKey());
        fields.put("processDefinitionId", task.getProcessDefinitionId());
        fields.put("formKey", task.getFormKey());
        fields.put("priority", task.getPriority());
        fields.put("dueDate", task.getDueDate());
        fields.put("category", task.getCategory());
        fields.put("claimTime", task.getClaimTime());
        LATER.forEach((name, getter) -> fields.put(name, getter.of(task)));
        return fields;
    }
}
