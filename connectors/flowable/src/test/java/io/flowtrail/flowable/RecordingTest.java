package io.flowtrail.flowable;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import flowtrail.history.v1.History.FlowEvent;
import flowtrail.history.v1.History.HistoryEvent;
import flowtrail.history.v1.History.Phase;
import flowtrail.history.v1.History.StepEvent;
import flowtrail.history.v1.History.VariableEvent;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.flowable.common.engine.api.FlowableException;
import org.flowable.engine.RuntimeService;
import org.flowable.engine.runtime.ProcessInstance;
import org.flowable.job.api.Job;
import org.junit.jupiter.api.Test;

class RecordingTest {
    @Test
    void whatIsRecordedDoesNotDependOnTheEnginesHistoryLevel() {
        List<List<String>> recorded = new ArrayList<>();
        for (String level : List.of("none", "full")) {
            try (Listened listened = new Listened("level-" + level, level, Map.of())) {
                Traffic traffic = new Traffic(listened.engine);
                traffic.withoutDeletion(0);
                traffic.withoutDeletion(1);
                assertEquals(0, listened.counters.getFailed());
                recorded.add(listened.events.stream().map(RecordingTest::kindAndSubject).toList());
            }
        }
        assertTrue(recorded.get(0).size() > 400);
        assertEquals(recorded.get(0), recorded.get(1));
    }

    @Test
    void aStepThatBeginsAndEndsWithinACommandIsOneEvent() {
        try (Listened listened = new Listened("once", "none", Map.of())) {
            listened.engine.getRuntimeService().startProcessInstanceByKey("straight", Map.of("amount", 11));
            List<String> steps = listened.steps().stream().map(event -> event.getStep().getTaskName() + " " + event.getStep().getPhase()).toList();
            assertEquals(List.of("start PHASE_CLOSED", "one PHASE_CLOSED", "two PHASE_CLOSED", "which PHASE_CLOSED", "three PHASE_CLOSED",
                    "check PHASE_OPENED"), steps);
        }
    }

    @Test
    void sequenceFlowsAreStepsOnlyIfThatIsWanted() {
        try (Listened listened = new Listened("flows", "none", Map.of("flowtrail.sequence-flows", "on"))) {
            listened.engine.getRuntimeService().startProcessInstanceByKey("straight", Map.of("amount", 1));
            long taken = listened.steps().stream()
                    .filter(event -> event.getStep().getMisc().toStringUtf8().startsWith("{\"activityType\":\"sequenceFlow\""))
                    .count();
            assertEquals(5, taken);
        }
    }

    @Test
    void variablesAreLeftOutIfThatIsWanted() {
        try (Listened listened = new Listened("bare", "full", Map.of("flowtrail.variables", "off"))) {
            listened.engine.getRuntimeService().startProcessInstanceByKey("data");
            assertTrue(listened.events.stream()
                    .filter(HistoryEvent::hasVariable)
                    .allMatch(event -> event.getVariable().getScope().startsWith("@")));
        }
    }

    @Test
    void whatIsRolledBackIsNotRecorded() {
        try (Listened listened = new Listened("rollback", "full", Map.of())) {
            RuntimeService runtime = listened.engine.getRuntimeService();
            assertThrows(FlowableException.class, () -> runtime.startProcessInstanceByKey("refused"));
            assertEquals(List.of(), listened.events);
        }
    }

    @Test
    void aCalledInstanceAndTheStepThatCallsItNameEachOther() {
        try (Listened listened = new Listened("calls", "none", Map.of("flowtrail.source", "x"))) {
            ProcessInstance parent = listened.engine.getRuntimeService().startProcessInstanceByKey("parent", Map.of("amount", 1));
            FlowEvent child = listened.events.stream().map(HistoryEvent::getFlow).filter(flow -> flow.getFlowName().equals("child")).findAny().orElseThrow();
            assertEquals("x:" + parent.getId(), child.getParentFlowInstanceId());
            StepEvent call = listened.steps().stream().map(HistoryEvent::getStep).filter(step -> step.getTaskName().equals("call")).findAny().orElseThrow();
            assertEquals(child.getFlowInstanceId(), call.getSubflowId());
            assertEquals(Phase.PHASE_OPENED, call.getPhase());
        }
    }

    @Test
    void eachFailedAttemptOfAJobIsAnExecutionOfItsOwn() {
        try (Listened listened = new Listened("jobs", "none", Map.of())) {
            listened.engine.getRuntimeService().startProcessInstanceByKey("dead");
            var jobs = listened.engine.getManagementService();
            Job job = jobs.createJobQuery().singleResult();
            assertThrows(FlowableException.class, () -> jobs.executeJob(job.getId()));
            jobs.moveTimerToExecutableJob(job.getId());
            assertThrows(FlowableException.class, () -> jobs.executeJob(job.getId()));
            List<StepEvent> failed = listened.steps().stream().map(HistoryEvent::getStep).filter(step -> step.getStepId().equals("job:" + job.getId())).toList();
            assertEquals(2, failed.stream().map(StepEvent::getExecution).distinct().count());
            assertEquals("broken", failed.get(0).getTaskName());
            // What lies in between differs from version to version.
            List<String> errors = failed.stream().map(step -> step.getError().toStringUtf8()).toList();
            assertTrue(errors.stream().allMatch(error -> error.startsWith("{\"message\":\"Error while evaluating expression: ${acts.fail()}")));
            assertTrue(errors.get(0).endsWith("\"retriesLeft\":1,\"deadLetter\":false}"));
            assertTrue(errors.get(1).endsWith("\"retriesLeft\":0,\"deadLetter\":true}"));
        }
    }

    @Test
    void historyThatIsDeletedTakesThatOfCalledInstancesAlong() {
        try (Listened listened = new Listened("deletion", "audit", Map.of("flowtrail.source", "x"))) {
            RuntimeService runtime = listened.engine.getRuntimeService();
            String parent = runtime.startProcessInstanceByKey("parent", Map.of("amount", 1)).getId();
            String child = runtime.createProcessInstanceQuery().superProcessInstanceId(parent).singleResult().getId();
            runtime.deleteProcessInstance(parent, "over");
            assertEquals(0, deletions(listened).size());
            listened.engine.getHistoryService().deleteHistoricProcessInstance(parent);
            assertEquals(List.of("x:" + parent, "x:" + child), deletions(listened));
        }
    }

    @Test
    void aVariableThatIsCreatedAndChangedWithinACommandKeepsItsCreation() {
        try (Listened listened = new Listened("variables", "none", Map.of())) {
            RuntimeService runtime = listened.engine.getRuntimeService();
            String id = runtime.startProcessInstanceByKey("data").getId();
            VariableEvent removed = variable(listened, "removed");
            assertEquals("now", removed.getValue().toStringUtf8());
            assertTrue(removed.hasCreatedAt());
            listened.engine.getTaskService().complete(listened.engine.getTaskService().createTaskQuery().processInstanceId(id).singleResult().getId());
            assertTrue(variable(listened, "removed").getRemoved());
            assertEquals("44", variable(listened, "number").getValue().toStringUtf8());
            assertEquals("something", variable(listened, "nothing").getValue().toStringUtf8());
        }
    }

    private static VariableEvent variable(Listened listened, String name) {
        List<VariableEvent> found = listened.events.stream()
                .map(HistoryEvent::getVariable)
                .filter(variable -> variable.getScope().isEmpty() && variable.getName().equals(name))
                .toList();
        return found.get(found.size() - 1);
    }

    private static List<String> deletions(Listened listened) {
        return listened.events.stream().filter(HistoryEvent::hasFlowDeleted).map(event -> event.getFlowDeleted().getFlowInstanceId()).toList();
    }

    /** Ids are given out in the order of what happens, but history has some of its own: so all is told by names. */
    private static String kindAndSubject(HistoryEvent event) {
        return switch (event.getEventCase()) {
            case FLOW -> "flow " + event.getFlow().getFlowName() + " " + event.getFlow().getStatusWord();
            case STEP -> "step " + event.getStep().getFlowName() + " " + event.getStep().getTaskName() + " " + event.getStep().getStatusWord();
            case VARIABLE -> {
                VariableEvent variable = event.getVariable();
                String scope = variable.getScope();
                yield "variable " + scope.substring(0, scope.indexOf(':') + 1) + " " + variable.getName() + " " + variable.getType();
            }
            default -> event.getEventCase().toString();
        };
    }
}
