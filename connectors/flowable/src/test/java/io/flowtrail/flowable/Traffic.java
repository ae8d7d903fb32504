package io.flowtrail.flowable;

import java.util.List;
import java.util.Map;
import org.flowable.common.engine.api.FlowableException;
import org.flowable.common.engine.api.FlowableOptimisticLockingException;
import org.flowable.engine.ProcessEngine;
import org.flowable.engine.RuntimeService;
import org.flowable.engine.TaskService;
import org.flowable.engine.runtime.Execution;
import org.flowable.engine.runtime.ProcessInstance;
import org.flowable.task.api.Task;

/** One instance of each process, with what people and other systems do to it. */
final class Traffic {
    private static final List<String> ITEMS = List.of("a", "b", "c");

    private final ProcessEngine engine;
    private final RuntimeService runtime;
    private final TaskService tasks;

    Traffic(ProcessEngine engine) {
        this.engine = engine;
        runtime = engine.getRuntimeService();
        tasks = engine.getTaskService();
    }

    void round(int number) {
        withoutDeletion(number);
        deleted();
    }

    /** What an engine without history can do, too. */
    void withoutDeletion(int number) {
        engine.getIdentityService().setAuthenticatedUserId("gonzo");
        calls(number);
        straight(number);
        multi(number);
        interrupted();
        data();
        for (String ending : List.of("retried", "dead", "timed", "boundary", "terminate")) {
            runtime.startProcessInstanceByKey(ending, key(number), Map.of("amount", number));
        }
        parallel(number);
        refused();
        cancelled(number);
        engine.getIdentityService().setAuthenticatedUserId(null);
    }

    private void calls(int number) {
        ProcessInstance parent = runtime.startProcessInstanceByKey("parent", key(number), Map.of("amount", number));
        runtime.setProcessInstanceName(parent.getId(), "parent #" + number);
        runtime.updateBusinessKey(parent.getId(), "changed-" + number);
        ProcessInstance child = runtime.createProcessInstanceQuery().superProcessInstanceId(parent.getId()).singleResult();
        tasks.complete(task(child).getId());
        Task approve = task(parent);
        tasks.unclaim(approve.getId());
        tasks.claim(approve.getId(), "piggy");
        approve = task(parent);
        approve.setDescription("looked at");
        tasks.saveTask(approve);
        tasks.setVariableLocal(approve.getId(), "note", "of the task");
        if (number % 3 != 0) {
            tasks.complete(approve.getId(), Map.of("approved", true));
        }
    }

    private void straight(int number) {
        ProcessInstance instance = runtime.startProcessInstanceByKey("straight", Map.of("amount", number * 5));
        Task check = task(instance);
        tasks.setOwner(check.getId(), "fozzie");
        tasks.complete(check.getId());
    }

    private void multi(int number) {
        ProcessInstance atOnce = runtime.startProcessInstanceByKey("each", Map.of("items", ITEMS));
        completeAll(atOnce, number % 2 == 0 ? 3 : 2);
        ProcessInstance oneByOne = runtime.startProcessInstanceByKey("oneByOne", Map.of("items", ITEMS));
        for (int done = 0; done < 2 + number % 2; done++) {
            completeAll(oneByOne, 1);
        }
    }

    private void interrupted() {
        ProcessInstance instance = runtime.startProcessInstanceByKey("interrupted");
        Execution waiting = runtime.createExecutionQuery()
                .processInstanceId(instance.getId()).messageEventSubscriptionName("bell").singleResult();
        runtime.messageEventReceived("bell", waiting.getId());
    }

    private void data() {
        ProcessInstance instance = runtime.startProcessInstanceByKey("data");
        runtime.setVariable(instance.getId(), "json", Jackson.object(engine, "{\"a\":[1,2,{\"b\":null}]}"));
        runtime.setVariableLocal(instance.getId(), "real", Double.NaN);
        tasks.complete(task(instance).getId());
    }

    private void parallel(int number) {
        ProcessInstance instance = runtime.startProcessInstanceByKey("parallel");
        if (number % 2 == 0) {
            tasks.complete(task(instance).getId());
        }
    }

    /** An instance that never was: its start is rolled back. */
    private void refused() {
        try {
            runtime.startProcessInstanceByKey("refused");
            throw new IllegalStateException("this was to fail");
        } catch (FlowableException rolledBack) {
            // As it should.
        }
    }

    /** History that is deleted, with that of the called instance. */
    private void deleted() {
        ProcessInstance parent = runtime.startProcessInstanceByKey("parent", Map.of("amount", 1));
        runtime.deleteProcessInstance(parent.getId(), "not wanted");
        engine.getHistoryService().deleteHistoricProcessInstance(parent.getId());
    }

    private void cancelled(int number) {
        ProcessInstance parent = runtime.startProcessInstanceByKey("parent", Map.of("amount", number));
        runtime.deleteProcessInstance(parent.getId(), "cancelled by \"driver\"");
    }

    private void completeAll(ProcessInstance instance, int most) {
        tasks.createTaskQuery().processInstanceId(instance.getId()).list().stream()
                .limit(most)
                .forEach(this::complete);
    }

    /** As often as it takes: jobs of the engine, which leave a multi-instance activity, can be in the way. What failed is not recorded. */
    private void complete(Task task) {
        boolean isDone = false;
        while (!isDone) {
            try {
                tasks.complete(task.getId());
                isDone = true;
            } catch (FlowableOptimisticLockingException otherWasFaster) {
                Thread.onSpinWait();
            }
        }
    }

    private Task task(ProcessInstance instance) {
        return tasks.createTaskQuery().processInstanceId(instance.getId()).singleResult();
    }

    private static String key(int number) {
        return "bk-" + number;
    }
}
