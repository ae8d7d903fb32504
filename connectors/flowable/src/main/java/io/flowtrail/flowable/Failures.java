package io.flowtrail.flowable;

import flowtrail.history.v1.History.HistoryEvent;
import flowtrail.history.v1.History.Phase;
import flowtrail.history.v1.History.StepEvent;
import flowtrail.history.v1.History.StepStatus;
import com.google.protobuf.Timestamp;
import org.flowable.job.api.Job;
import org.flowable.job.service.impl.persistence.entity.DeadLetterJobEntity;

/** Attempts of jobs that failed, of which the engine's history says nothing: each is an execution of a step of its own. */
final class Failures {
    private final Flows flows;

    Failures(Flows flows) {
        this.flows = flows;
    }

    /** A job whose retries have just been counted down, or which has just been put aside. */
    HistoryEvent failed(Job job) {
        long micros = Revisions.SHARED.next();
        Timestamp time = Timestamp.newBuilder()
                .setSeconds(micros / 1_000_000)
                .setNanos((int) (micros % 1_000_000) * 1000)
                .build();
        StepEvent.Builder step = StepEvent.newBuilder()
                .setFlowInstanceId(flows.id(job.getProcessInstanceId()))
                .setStepId("job:" + job.getId())
                .setExecution(micros)
                .setPhase(Phase.PHASE_CLOSED)
                .setStatus(StepStatus.STEP_STATUS_FAILED)
                .setStatusWord("Failed")
                .setFlowName(Definition.of(job.getProcessDefinitionId()).key())
                .setStartedAt(time)
                .setEndedAt(time)
                .setError(error(job).bytes())
                .setMisc(misc(job).bytes());
        if (job.getElementId() != null) {
            step.setTaskName(job.getElementId());
        }
        return HistoryEvent.newBuilder().setStep(step).build();
    }

    private static Json error(Job job) {
        return new Json()
                .put("message", job.getExceptionMessage())
                .put("retriesLeft", job.getRetries())
                .put("deadLetter", job instanceof DeadLetterJobEntity);
    }

    private static Json misc(Job job) {
        return new Json()
                .put("jobId", job.getId())
                .put("executionId", job.getExecutionId())
                .put("processDefinitionId", job.getProcessDefinitionId());
    }
}
