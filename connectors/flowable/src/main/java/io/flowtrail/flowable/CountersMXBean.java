package io.flowtrail.flowable;

/** The counters as JMX shows them, under {@code io.flowtrail.flowable:type=Counters}. */
public interface CountersMXBean {
    /** Events that all replicas in sync have. */
    long getSent();

    /** Events that were given up because the queue was full, or the engine was closed before Kafka was back. */
    long getDropped();

    /** Events that Kafka refused for what they are, and calls of the engine of which no event could be made. */
    long getFailed();

    /** Calls of the engine about what is not kept, identity links and comments for instance. */
    long getIgnored();

    /** Events that wait to be sent; those of the outbox wait in the database and are not counted. */
    long getQueued();
}
