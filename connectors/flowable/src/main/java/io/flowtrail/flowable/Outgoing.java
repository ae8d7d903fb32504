package io.flowtrail.flowable;

/**
 * A Kafka record that waits to be sent.
 *
 * @param key the flow instance id
 * @param value a {@code HistoryEvent} as bytes
 */
record Outgoing(String key, byte[] value) {
    /** What it takes in memory, about. */
    int size() {
        return 64 + 2 * key.length() + value.length;
    }
}
