package io.flowtrail.flowable;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;

/**
 * Numbers for what changes: microseconds of this machine's clock, each greater than the one before, also where the clock stands still
 * or goes back. Of two engines on one database the clocks have to agree better than two changes of one thing follow each other.
 */
final class Revisions {
    /** Those of this JVM: engines that share a database may share it too. */
    static final Revisions SHARED = new Revisions(() -> ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now()));

    private final AtomicLong last = new AtomicLong();
    private final LongSupplier clock;

    Revisions(LongSupplier clock) {
        this.clock = clock;
    }

    long next() {
        long now = clock.getAsLong();
        return last.updateAndGet(before -> Math.max(before + 1, now));
    }
}
