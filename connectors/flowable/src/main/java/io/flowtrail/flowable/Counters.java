package io.flowtrail.flowable;

import java.util.concurrent.atomic.LongAdder;

/** What became of the events since the engine began. */
final class Counters implements CountersMXBean {
    final LongAdder sent = new LongAdder();
    final LongAdder dropped = new LongAdder();
    final LongAdder failed = new LongAdder();
    final LongAdder ignored = new LongAdder();
    final LongAdder queued = new LongAdder();

    @Override
    public long getSent() {
        return sent.sum();
    }

    @Override
    public long getDropped() {
        return dropped.sum();
    }

    @Override
    public long getFailed() {
        return failed.sum();
    }

    @Override
    public long getIgnored() {
        return ignored.sum();
    }

    @Override
    public long getQueued() {
        return queued.sum();
    }
}
