package io.flowtrail.flowable;

import flowtrail.history.v1.History.HistoryEvent;
import flowtrail.history.v1.History.Phase;
import flowtrail.history.v1.History.StepEvent;
import flowtrail.history.v1.History.StepStatus;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.flowable.common.engine.impl.persistence.entity.Entity;
import org.flowable.engine.runtime.ActivityInstance;

/** Activity instances as events. */
final class Steps {
    /** Since 7.2. */
    private static final LaterGetter COMPLETED_BY = new LaterGetter(ActivityInstance.class, "getCompletedBy");

    private final Flows flows;

    Steps(Flows flows) {
        this.flows = flows;
    }

    static boolean isSequenceFlow(ActivityInstance activity) {
        return "sequenceFlow".equals(activity.getActivityType());
    }

    HistoryEvent started(ActivityInstance activity) {
        return event(step(activity));
    }

    List<HistoryEvent> ended(ActivityInstance activity) {
        List<HistoryEvent> events = new ArrayList<>(2);
        events.add(event(step(activity)));
        Json fields = new Json().putKnown("deleteReason", activity.getDeleteReason()).putKnown("completedBy", COMPLETED_BY.of(activity));
        if (!fields.isEmpty()) {
            events.add(part(activity, "end", fields));
        }
        return events;
    }

    /** What an update can say: the task and its assignee, and the instance that a call activity has begun. */
    List<HistoryEvent> updated(ActivityInstance activity) {
        List<HistoryEvent> events = new ArrayList<>(1);
        if (hasChanged(activity, "taskId", activity.getTaskId())) {
            events.add(part(activity, "task", new Json().put("taskId", activity.getTaskId())));
        }
        if (hasChanged(activity, "assignee", activity.getAssignee())) {
            events.add(part(activity, "assignee", new Json().putAnyway("assignee", activity.getAssignee())));
        }
        if (hasChanged(activity, "calledProcessInstanceId", activity.getCalledProcessInstanceId())) {
            events.add(event(step(activity)));
        }
        return events;
    }

    private StepEvent.Builder step(ActivityInstance activity) {
        StepEvent.Builder step = StepEvent.newBuilder()
                .setFlowInstanceId(flows.id(activity.getProcessInstanceId()))
                .setStepId(activity.getId())
                .setTaskName(activity.getActivityId())
                .setFlowName(Definition.of(activity.getProcessDefinitionId()).key())
                .setStartedAt(Times.timestamp(activity.getStartTime()))
                .setMisc(misc(activity).bytes());
        if (activity.getCalledProcessInstanceId() != null) {
            step.setSubflowId(flows.id(activity.getCalledProcessInstanceId()));
        }
        if (activity.getEndTime() == null) {
            return step.setPhase(Phase.PHASE_OPENED).setStatus(StepStatus.STEP_STATUS_STARTED).setStatusWord("Active");
        }
        boolean isCancelled = activity.getDeleteReason() != null;
        return step.setPhase(Phase.PHASE_CLOSED)
                .setStatus(isCancelled ? StepStatus.STEP_STATUS_CANCELLED : StepStatus.STEP_STATUS_COMPLETED)
                .setStatusWord(isCancelled ? "Cancelled" : "Completed")
                .setEndedAt(Times.timestamp(activity.getEndTime()));
    }

    /** The same on every event of an activity instance. The first key tells readers whose step it is. */
    private static Json misc(ActivityInstance activity) {
        return new Json()
                .put("activityType", activity.getActivityType())
                .put("activityName", activity.getActivityName())
                .put("processDefinitionId", activity.getProcessDefinitionId())
                .put("executionId", activity.getExecutionId())
                .put("transactionOrder", activity.getTransactionOrder())
                .putKnown("tenantId", activity.getTenantId());
    }

    private HistoryEvent part(ActivityInstance activity, String name, Json fields) {
        return Parts.part(flows.id(activity.getProcessInstanceId()), Parts.step(activity.getId()), name, fields);
    }

    /** Whether a field is not what the database has; of a new entity, whether there is anything. */
    private static boolean hasChanged(ActivityInstance activity, String field, String now) {
        Object stored = activity instanceof Entity entity ? entity.getOriginalPersistentState() : null;
        return !Objects.equals(stored instanceof Map<?, ?> fields ? fields.get(field) : null, now);
    }

    private static HistoryEvent event(StepEvent.Builder step) {
        return HistoryEvent.newBuilder().setStep(step).build();
    }
}
