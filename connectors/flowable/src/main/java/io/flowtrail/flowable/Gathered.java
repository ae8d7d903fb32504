package io.flowtrail.flowable;

import flowtrail.history.v1.History.HistoryEvent;
import flowtrail.history.v1.History.StepEvent;
import flowtrail.history.v1.History.VariableEvent;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The events of one command, in the order in which their subjects came up. What is said more than once of a subject is said as it was
 * last, since nobody can have seen it otherwise: a step that began and ended within a command is one event.
 */
final class Gathered {
    private final Map<Subject, HistoryEvent> events = new LinkedHashMap<>();

    /** What an event is about, by flow instance and by what tells the subjects of its kind apart. */
    private record Subject(HistoryEvent.EventCase kind, String flow, String scope, String name) {}

    void put(HistoryEvent event) {
        events.merge(subject(event), event, Gathered::join);
    }

    List<Outgoing> records() {
        List<Outgoing> records = new ArrayList<>(events.size());
        events.forEach((subject, event) -> records.add(new Outgoing(subject.flow, event.toByteArray())));
        return records;
    }

    private static Subject subject(HistoryEvent event) {
        HistoryEvent.EventCase kind = event.getEventCase();
        return switch (kind) {
            case FLOW -> new Subject(kind, event.getFlow().getFlowInstanceId(), "", "");
            case STEP -> {
                StepEvent step = event.getStep();
                yield new Subject(kind, step.getFlowInstanceId(), step.getStepId(), Long.toString(step.getExecution()));
            }
            case VARIABLE -> {
                VariableEvent variable = event.getVariable();
                yield new Subject(kind, variable.getFlowInstanceId(), variable.getScope(), variable.getName());
            }
            case FLOW_DELETED -> new Subject(kind, event.getFlowDeleted().getFlowInstanceId(), "", "");
            default -> throw new IllegalArgumentException("no event of an engine: " + kind);
        };
    }

    /** The later event, with what only the earlier knew: who began a flow, when a variable was created. Steps are told whole. */
    private static HistoryEvent join(HistoryEvent earlier, HistoryEvent later) {
        if (later.hasFlow()) {
            return earlier.toBuilder().mergeFrom(later).build();
        }
        if (!later.hasVariable()) {
            return later;
        }
        // Not merged: that the value is missing, or that the variable is there again, would be lost.
        VariableEvent before = earlier.getVariable();
        VariableEvent now = later.getVariable();
        boolean isSame = before.getVariableId().equals(now.getVariableId());
        if (!isSame || !before.hasCreatedAt() || now.hasCreatedAt() || now.getRemoved()) {
            return later;
        }
        return later.toBuilder().setVariable(now.toBuilder().setCreatedAt(before.getCreatedAt())).build();
    }
}
