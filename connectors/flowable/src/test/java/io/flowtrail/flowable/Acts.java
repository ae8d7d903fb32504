package io.flowtrail.flowable;

import java.math.BigDecimal;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import org.flowable.engine.delegate.BpmnError;
import org.flowable.engine.delegate.DelegateExecution;

/** What the service tasks of the processes do. */
public final class Acts {
    private final Set<String> failed = ConcurrentHashMap.newKeySet();

    public void nothing() {}

    public void doubled(DelegateExecution execution) {
        execution.setVariable("doubled", 2 * (Integer) execution.getVariable("amount"));
    }

    public void local(DelegateExecution execution) {
        execution.setVariableLocal("here", execution.getId());
        execution.setVariableLocal("gone", "soon");
        execution.removeVariableLocal("gone");
    }

    public void error(int amount) {
        if (amount % 2 == 1) {
            throw new BpmnError("odd");
        }
    }

    public void failOnce(DelegateExecution execution) {
        if (failed.add(execution.getProcessInstanceId())) {
            throw new IllegalStateException("not \"yet\"");
        }
    }

    public void fail() {
        throw new IllegalStateException("never");
    }

    /** A variable of each type that the engine tells apart, but for those of libraries. */
    public void fill(DelegateExecution execution) {
        execution.setVariable("text", "ünï \"quoted\" \\ \n text");
        execution.setVariable("emptyText", "");
        execution.setVariable("longText", "x".repeat(5000));
        execution.setVariable("nothing", null);
        execution.setVariable("small", (short) -7);
        execution.setVariable("number", 42);
        execution.setVariable("large", Long.MAX_VALUE);
        execution.setVariable("real", 0.1);
        execution.setVariable("yes", true);
        execution.setVariable("no", false);
        execution.setVariable("date", new Date(1_700_000_000_123L));
        execution.setVariable("instant", Instant.ofEpochMilli(1_700_000_000_123L));
        execution.setVariable("day", LocalDate.of(2024, 2, 29));
        execution.setVariable("dateTime", LocalDateTime.of(2024, 2, 29, 12, 30, 15));
        execution.setVariable("uuid", UUID.fromString("123e4567-e89b-12d3-a456-426614174000"));
        execution.setVariable("decimal", new BigDecimal("12345678901234567890.5"));
        execution.setVariable("bytes", new byte[] {0, 1, 2, -1});
        execution.setVariable("object", new ArrayList<>(List.of("a", "b")));
        execution.setVariable("removed", "now");
    }

    public void change(DelegateExecution execution) {
        execution.setVariable("number", 43);
        execution.setVariable("number", 44);
        execution.setVariable("text", 7);
        execution.setVariable("nothing", "something");
        execution.setVariable("yes", null);
        execution.removeVariable("removed");
    }
}
