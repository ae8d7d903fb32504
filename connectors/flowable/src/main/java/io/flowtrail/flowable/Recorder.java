package io.flowtrail.flowable;

import flowtrail.history.v1.History.HistoryEvent;
import java.util.Collection;
import java.util.Date;
import org.flowable.engine.history.HistoricProcessInstance;
import org.flowable.engine.impl.cfg.ProcessEngineConfigurationImpl;
import org.flowable.engine.impl.persistence.entity.ExecutionEntity;
import org.flowable.engine.repository.ProcessDefinition;
import org.flowable.engine.runtime.ActivityInstance;
import org.flowable.job.api.Job;
import org.flowable.task.api.TaskInfo;
import org.flowable.task.service.impl.persistence.entity.TaskEntity;
import org.flowable.variable.service.impl.persistence.entity.VariableInstanceEntity;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Makes events of what the engine tells its history manager. It goes by the runtime entities, so it needs none of the engine's history
 * tables; and the engine goes on whatever becomes of an event.
 */
final class Recorder {
    private static final Logger LOG = LoggerFactory.getLogger(Recorder.class);

    private final ProcessEngineConfigurationImpl engine;
    private final Settings settings;
    private final Counters counters;
    private final Gathering gathering;
    private final Flows flows;
    private final Steps steps;
    private final Tasks tasks;
    private final Variables variables;
    private final Failures failures;

    Recorder(ProcessEngineConfigurationImpl engine, Settings settings, Counters counters, Gathering gathering) {
        this.engine = engine;
        this.settings = settings;
        this.counters = counters;
        this.gathering = gathering;
        flows = new Flows(settings.source(), HostName.get());
        steps = new Steps(flows);
        tasks = new Tasks(flows);
        variables = new Variables(flows);
        failures = new Failures(flows);
    }

    /** A call of the history manager, by its name. Never throws. */
    void hear(String call, Arguments arguments) {
        try {
            record(call, arguments);
        } catch (RuntimeException | LinkageError exception) {
            lost(call, exception);
        }
    }

    /** A job has failed once more. Never throws. */
    void hear(Job job) {
        try {
            if (job.getProcessInstanceId() == null) {
                counters.ignored.increment();
            } else {
                gathering.add(failures.failed(job));
            }
        } catch (RuntimeException | LinkageError exception) {
            lost("the failure of a job", exception);
        }
    }

    private void lost(String what, Throwable exception) {
        counters.failed.increment();
        LOG.warn("flowtrail could make no event of {}", what, exception);
    }

    private void record(String call, Arguments arguments) {
        switch (call) {
            case "recordProcessInstanceStart", "recordProcessInstanceEnd", "recordProcessInstanceNameChange",
                    "updateProcessBusinessKeyInHistory", "updateProcessBusinessStatusInHistory",
                    "recordProcessDefinitionChange", "updateProcessDefinitionIdInHistory" -> recordFlow(call, arguments);
            case "recordProcessInstanceDeleted" -> recordDeletion(arguments.first(String.class));
            case "recordDeleteHistoricProcessInstancesByProcessDefinitionId" -> recordDeletionOfAll(arguments.first(String.class));
            case "recordBulkDeleteProcessInstances" -> recordDeletions(arguments.first(Collection.class));
            case "recordActivityStart", "recordActivityEnd", "updateHistoricActivityInstance", "createHistoricActivityInstance" ->
                recordStep(call, arguments.first(ActivityInstance.class));
            case "recordTaskCreated", "recordTaskEnd", "recordTaskInfoChange", "updateActivity", "recordHistoricTaskDeleted" ->
                recordTask(call, arguments);
            case "recordVariableCreate", "recordVariableUpdate", "recordVariableRemoved" -> recordVariable(call, arguments);
            default -> {
                if (!call.startsWith("is") && !call.startsWith("find")) {
                    counters.ignored.increment();
                }
            }
        }
    }

    private void recordFlow(String call, Arguments arguments) {
        ExecutionEntity instance = arguments.first(ExecutionEntity.class);
        switch (call) {
            case "recordProcessInstanceStart" -> flows.started(instance).forEach(gathering::add);
            case "recordProcessInstanceEnd" -> {
                String state = arguments.count() > 4 ? arguments.textFromEnd(4) : null;
                flows.ended(instance, state, arguments.textFromEnd(3), arguments.textFromEnd(2), arguments.first(Date.class))
                        .forEach(gathering::add);
            }
            case "recordProcessInstanceNameChange" -> changed(instance.getId(), "name", arguments.textFromEnd(1));
            case "updateProcessBusinessKeyInHistory" -> changed(instance.getId(), "businessKey", instance.getBusinessKey());
            case "updateProcessBusinessStatusInHistory" -> changed(instance.getId(), "businessStatus", instance.getBusinessStatus());
            case "recordProcessDefinitionChange" ->
                changed(arguments.textFromEnd(2), "processDefinitionId", arguments.textFromEnd(1));
            default -> changed(instance.getId(), "processDefinitionId", arguments.first(ProcessDefinition.class).getId());
        }
    }

    private void changed(String processInstanceId, String property, String value) {
        gathering.add(flows.changed(processInstanceId, property, value));
    }

    /** With the instances that it called: the engine deletes those too, without saying so. */
    private void recordDeletion(String processInstanceId) {
        if (!settings.deletions()) {
            counters.ignored.increment();
            return;
        }
        gathering.add(flows.deleted(processInstanceId));
        if (engine.getHistoryManager().isHistoryEnabled()) {
            engine.getHistoricProcessInstanceEntityManager()
                    .findHistoricProcessInstancesBySuperProcessInstanceId(processInstanceId).stream()
                    .map(HistoricProcessInstance::getId)
                    .forEach(this::recordDeletion);
        }
    }

    private void recordDeletionOfAll(String processDefinitionId) {
        if (engine.getHistoryManager().isHistoryEnabled()) {
            engine.getHistoricProcessInstanceEntityManager()
                    .findHistoricProcessInstanceIdsByProcessDefinitionId(processDefinitionId)
                    .forEach(this::recordDeletion);
        }
    }

    /** Those that they called follow in a call of their own. */
    private void recordDeletions(Collection<?> processInstanceIds) {
        if (processInstanceIds == null) {
            return;
        }
        for (Object id : processInstanceIds) {
            if (settings.deletions()) {
                gathering.add(flows.deleted((String) id));
            } else {
                counters.ignored.increment();
            }
        }
    }

    private void recordStep(String call, ActivityInstance activity) {
        // The deprecated end by execution, and an execution that is between two activities.
        if (activity == null || activity.getActivityId() == null) {
            return;
        }
        if (Steps.isSequenceFlow(activity) && !settings.sequenceFlows()) {
            counters.ignored.increment();
            return;
        }
        switch (call) {
            case "recordActivityEnd" -> steps.ended(activity).forEach(gathering::add);
            case "updateHistoricActivityInstance" -> steps.updated(activity).forEach(gathering::add);
            default -> gathering.add(steps.started(activity));
        }
    }

    private void recordTask(String call, Arguments arguments) {
        ExecutionEntity execution = call.equals("updateActivity") ? null : arguments.first(ExecutionEntity.class);
        TaskInfo task = arguments.first(TaskInfo.class);
        if (task == null || (execution == null && task.getProcessInstanceId() == null)) {
            counters.ignored.increment();
            return;
        }
        Date time = arguments.first(Date.class);
        HistoryEvent event = switch (call) {
            case "recordTaskCreated" -> tasks.created((TaskEntity) task, execution, engine.getClock().getCurrentTime());
            case "recordTaskEnd" -> {
                String user = arguments.count() > 4 ? arguments.textFromEnd(3) : null;
                yield tasks.ended((TaskEntity) task, execution, user, arguments.textFromEnd(2), time);
            }
            case "recordHistoricTaskDeleted" -> tasks.deleted(task);
            default -> tasks.changed((TaskEntity) task, time);
        };
        gathering.add(event);
    }

    private void recordVariable(String call, Arguments arguments) {
        VariableInstanceEntity variable = arguments.first(VariableInstanceEntity.class);
        if (!settings.variables() || variable.getProcessInstanceId() == null) {
            counters.ignored.increment();
            return;
        }
        Date time = arguments.first(Date.class);
        gathering.add(switch (call) {
            case "recordVariableCreate" -> variables.created(variable, time);
            case "recordVariableUpdate" -> variables.updated(variable, time);
            default -> variables.removed(variable);
        });
    }
}
