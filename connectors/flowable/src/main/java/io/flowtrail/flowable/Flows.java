package io.flowtrail.flowable;

import flowtrail.history.v1.History.FlowDeleted;
import flowtrail.history.v1.History.FlowEvent;
import flowtrail.history.v1.History.FlowStatus;
import flowtrail.history.v1.History.HistoryEvent;
import flowtrail.history.v1.History.Phase;
import java.util.Date;
import java.util.List;
import org.flowable.common.engine.impl.identity.Authentication;
import org.flowable.engine.impl.persistence.entity.ExecutionEntity;

/** Process instances as events. */
final class Flows {
    private final String source;
    private final String host;

    Flows(String source, String host) {
        this.source = source;
        this.host = host;
    }

    /** The flow instance id of a process instance: ids of engines that know nothing of each other may be equal. */
    String id(String processInstanceId) {
        return source + ':' + processInstanceId;
    }

    List<HistoryEvent> started(ExecutionEntity instance) {
        FlowEvent.Builder flow = flow(instance)
                .setPhase(Phase.PHASE_OPENED)
                .setStatus(FlowStatus.FLOW_STATUS_STARTED)
                .setStatusWord("Active")
                .setHostId(host);
        ExecutionEntity caller = instance.getSuperExecution();
        if (caller != null) {
            flow.setParentFlowInstanceId(id(caller.getProcessInstanceId()));
        }
        return List.of(event(flow), Parts.part(id(instance.getId()), Parts.PROCESS, "start", startFields(instance)));
    }

    /** Neither host nor parent, which are those of the start. */
    List<HistoryEvent> ended(ExecutionEntity instance, String state, String deleteReason, String activityId, Date time) {
        boolean isCancelled = deleteReason != null;
        FlowEvent.Builder flow = flow(instance)
                .setPhase(Phase.PHASE_CLOSED)
                .setStatus(isCancelled ? FlowStatus.FLOW_STATUS_CANCELLED : FlowStatus.FLOW_STATUS_COMPLETED)
                .setStatusWord(isCancelled ? "Cancelled" : "Completed")
                .setEndedAt(Times.timestamp(time));
        Json fields = new Json()
                .putKnown("endActivityId", activityId)
                .putKnown("deleteReason", deleteReason)
                .putKnown("name", instance.getName())
                .putKnown("businessKey", instance.getBusinessKey())
                .putKnown("businessStatus", instance.getBusinessStatus())
                .putKnown("state", state)
                .putKnown("endUserId", Authentication.getAuthenticatedUserId());
        return List.of(event(flow), Parts.part(id(instance.getId()), Parts.PROCESS, "end", fields));
    }

    HistoryEvent changed(String processInstanceId, String property, String value) {
        Json fields = new Json().putAnyway(property, value);
        return Parts.part(id(processInstanceId), Parts.PROCESS, "changed-" + property, fields);
    }

    /** The history of the instance was deleted: not the same as its cancellation. */
    HistoryEvent deleted(String processInstanceId) {
        FlowDeleted.Builder deleted = FlowDeleted.newBuilder().setFlowInstanceId(id(processInstanceId));
        return HistoryEvent.newBuilder().setFlowDeleted(deleted).build();
    }

    private FlowEvent.Builder flow(ExecutionEntity instance) {
        Definition definition = Definition.of(instance.getProcessDefinitionId());
        FlowEvent.Builder flow = FlowEvent.newBuilder()
                .setFlowInstanceId(id(instance.getId()))
                .setAppName(source)
                .setAppVersion(definition.version())
                .setFlowName(definition.key());
        if (instance.getStartUserId() != null) {
            flow.setUserId(instance.getStartUserId());
        }
        if (instance.getStartTime() != null) {
            flow.setStartedAt(Times.timestamp(instance.getStartTime()));
        }
        return flow;
    }

    private static Json startFields(ExecutionEntity instance) {
        Definition definition = Definition.of(instance.getProcessDefinitionId());
        return new Json()
                .putKnown("processDefinitionId", instance.getProcessDefinitionId())
                .putKnown("processDefinitionName", definition.name())
                .putKnown("processDefinitionCategory", definition.category())
                .putKnown("deploymentId", definition.deploymentId())
                .putKnown("startActivityId", instance.getStartActivityId())
                .putKnown("tenantId", instance.getTenantId())
                .putKnown("name", instance.getName())
                .putKnown("businessKey", instance.getBusinessKey())
                .putKnown("businessStatus", instance.getBusinessStatus())
                .putKnown("callbackId", instance.getCallbackId())
                .putKnown("callbackType", instance.getCallbackType())
                .putKnown("referenceId", instance.getReferenceId())
                .putKnown("referenceType", instance.getReferenceType())
                .putKnown("propagatedStageInstanceId", instance.getPropagatedStageInstanceId());
    }

    private static HistoryEvent event(FlowEvent.Builder flow) {
        return HistoryEvent.newBuilder().setFlow(flow).build();
    }
}
