package io.flowtrail.flowable;

import org.flowable.common.engine.api.delegate.event.FlowableEngineEventType;
import org.flowable.common.engine.api.delegate.event.FlowableEntityEvent;
import org.flowable.common.engine.api.delegate.event.FlowableEvent;
import org.flowable.common.engine.api.delegate.event.FlowableEventListener;
import org.flowable.common.engine.api.delegate.event.FlowableEventType;
import org.flowable.job.api.Job;

/**
 * Hears what the history manager is not told: that a job has failed, and that the engine was closed. Of a failed attempt the engine says
 * thrice; that its retries were counted down is said in the transaction that does so, and with what is left of them.
 */
final class EngineListener implements FlowableEventListener {
    static final FlowableEventType[] TYPES = {FlowableEngineEventType.JOB_RETRIES_DECREMENTED, FlowableEngineEventType.ENGINE_CLOSED};

    private final Recorder recorder;
    private final Runnable whenClosed;

    EngineListener(Recorder recorder, Runnable whenClosed) {
        this.recorder = recorder;
        this.whenClosed = whenClosed;
    }

    @Override
    public void onEvent(FlowableEvent event) {
        if (event.getType() == FlowableEngineEventType.ENGINE_CLOSED) {
            whenClosed.run();
        } else if (event instanceof FlowableEntityEvent of && of.getEntity() instanceof Job job) {
            recorder.hear(job);
        }
    }

    @Override
    public boolean isFailOnException() {
        return false;
    }

    @Override
    public boolean isFireOnTransactionLifecycleEvent() {
        return false;
    }

    @Override
    public String getOnTransaction() {
        return null;
    }
}
