package io.flowtrail.flowable;

import com.google.protobuf.ByteString;
import flowtrail.history.v1.History.HistoryEvent;
import flowtrail.history.v1.History.VariableEvent;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.Date;
import org.flowable.variable.service.impl.persistence.entity.VariableInstanceEntity;

/** Variables of process instances, of their executions and tasks, as events. */
final class Variables {
    private final Flows flows;

    Variables(Flows flows) {
        this.flows = flows;
    }

    HistoryEvent created(VariableInstanceEntity variable, Date time) {
        return event(set(variable, time).setCreatedAt(Times.timestamp(time)));
    }

    HistoryEvent updated(VariableInstanceEntity variable, Date time) {
        return event(set(variable, time));
    }

    HistoryEvent removed(VariableInstanceEntity variable) {
        return event(variable(variable).setRemoved(true));
    }

    private VariableEvent.Builder set(VariableInstanceEntity variable, Date time) {
        return variable(variable)
                .setType(variable.getTypeName())
                .setValue(value(variable))
                .setUpdatedAt(Times.timestamp(time))
                .setMisc(misc(variable).bytes());
    }

    private VariableEvent.Builder variable(VariableInstanceEntity variable) {
        return VariableEvent.newBuilder()
                .setFlowInstanceId(flows.id(variable.getProcessInstanceId()))
                .setScope(scope(variable))
                .setName(variable.getName())
                .setRevision(Revisions.SHARED.next())
                .setVariableId(variable.getId());
    }

    private static String scope(VariableInstanceEntity variable) {
        if (variable.getTaskId() != null) {
            return "task:" + variable.getTaskId();
        }
        String execution = variable.getExecutionId();
        return execution == null || execution.equals(variable.getProcessInstanceId()) ? "" : "execution:" + execution;
    }

    private static ByteString value(VariableInstanceEntity variable) {
        if (variable.getBytes() != null) {
            return ByteString.copyFrom(variable.getBytes());
        }
        String text = text(variable);
        return text == null ? ByteString.EMPTY : ByteString.copyFromUtf8(text);
    }

    /** The value as people would write it, of what the engine's columns hold. */
    private static String text(VariableInstanceEntity variable) {
        Long number = variable.getLongValue();
        if (number == null) {
            Double real = variable.getDoubleValue();
            return real == null ? variable.getTextValue() : Double.toString(real);
        }
        return switch (variable.getTypeName()) {
            case "boolean" -> Boolean.toString(number == 1);
            case "date", "instant", "jodadate", "jodadatetime" -> Times.iso(number);
            case "localdate" -> LocalDate.ofEpochDay(number).toString();
            case "localdatetime" -> LocalDateTime.ofInstant(Instant.ofEpochMilli(number), ZoneOffset.UTC).toString();
            default -> Long.toString(number);
        };
    }

    private static Json misc(VariableInstanceEntity variable) {
        return new Json()
                .put("revision", variable.getRevision())
                .put("longValue", variable.getLongValue())
                .put("doubleValue", variable.getDoubleValue())
                .put("textValue", variable.getTextValue())
                .put("textValue2", variable.getTextValue2())
                .put("metaInfo", variable.getMetaInfo())
                .put("executionId", variable.getExecutionId())
                .put("taskId", variable.getTaskId())
                .put("scopeId", variable.getScopeId())
                .put("subScopeId", variable.getSubScopeId())
                .put("scopeType", variable.getScopeType());
    }

    private static HistoryEvent event(VariableEvent.Builder variable) {
        return HistoryEvent.newBuilder().setVariable(variable).build();
    }
}
