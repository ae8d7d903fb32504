package io.flowtrail.flowable;

import flowtrail.history.v1.History.HistoryEvent;
import flowtrail.history.v1.History.VariableEvent;

/**
 * Parts of the engine's own records, for what can change or comes late: JSON objects of some fields, under a scope that begins with
 * {@code @}. A reader takes each field from the part of the greatest revision that has it.
 */
final class Parts {
    static final String PROCESS = "@process";

    private Parts() {}

    static String step(String activityInstanceId) {
        return "@step:" + activityInstanceId;
    }

    static String task(String taskId) {
        return "@task:" + taskId;
    }

    static HistoryEvent part(String flow, String scope, String name, Json fields) {
        return event(VariableEvent.newBuilder()
                .setFlowInstanceId(flow)
                .setScope(scope)
                .setName(name)
                .setType("json")
                .setValue(fields.bytes())
                .setRevision(Revisions.SHARED.next()));
    }

    /** Hides the record of a scope. */
    static HistoryEvent removed(String flow, String scope, String name) {
        return event(VariableEvent.newBuilder()
                .setFlowInstanceId(flow)
                .setScope(scope)
                .setName(name)
                .setType("json")
                .setRemoved(true)
                .setRevision(Revisions.SHARED.next()));
    }

    private static HistoryEvent event(VariableEvent.Builder part) {
        return HistoryEvent.newBuilder().setVariable(part).build();
    }
}
