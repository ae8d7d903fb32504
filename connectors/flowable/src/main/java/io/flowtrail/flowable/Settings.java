package io.flowtrail.flowable;

import java.time.Duration;
import java.util.Map;

/**
 * What was configured, checked as a whole.
 *
 * @param bootstrapServers empty: nothing is recorded
 * @param topic where events go
 * @param source the name of the engine, which begins every flow instance id
 * @param isOutbox whether events go by way of the engine's database
 * @param sequenceFlows whether sequence flows are steps
 * @param variables whether variables are recorded
 * @param deletions whether history that the engine deletes is deleted from flowtrail, too
 * @param queueBytes how much may wait to be sent after commit
 * @param queueEvents how many may wait
 * @param closeTimeout how long closing may take
 * @param outboxPoll how often the engine looks for outbox rows
 * @param kafka the producer's own properties
 */
record Settings(
        String bootstrapServers,
        String topic,
        String source,
        boolean isOutbox,
        boolean sequenceFlows,
        boolean variables,
        boolean deletions,
        long queueBytes,
        long queueEvents,
        Duration closeTimeout,
        Duration outboxPoll,
        Map<String, String> kafka) {

    /** Whether there is anything to do. */
    boolean isOn() {
        return !bootstrapServers.isEmpty();
    }
}
