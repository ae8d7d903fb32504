package io.flowtrail.flowable;

import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;

/** The settings by their names. docs/flowable.md has them, too. */
enum Setting {
    BOOTSTRAP_SERVERS("bootstrap.servers", ""),
    TOPIC("topic", "flow.history"),
    SOURCE("source", "flowable"),
    MODE("mode", "after-commit"),
    SEQUENCE_FLOWS("sequence-flows", "off"),
    VARIABLES("variables", "on"),
    DELETIONS("deletions", "on"),
    QUEUE_BYTES("queue.bytes", "33554432"),
    QUEUE_EVENTS("queue.events", "100000"),
    CLOSE_TIMEOUT("close.timeout-ms", "10000"),
    OUTBOX_POLL("outbox.poll-ms", "1000");

    /** What begins the names of the producer's own properties. */
    static final String KAFKA = "kafka.";

    final String key;
    final String byDefault;

    Setting(String key, String byDefault) {
        this.key = key;
        this.byDefault = byDefault;
    }

    /** As an environment variable has it, without its beginning. */
    String inEnvironment() {
        return key.toUpperCase(Locale.ROOT).replace('.', '_').replace('-', '_');
    }

    static boolean isKnown(String key) {
        return key.startsWith(KAFKA) || Arrays.stream(values()).anyMatch(setting -> setting.key.equals(key));
    }

    /** The setting whose name is most like this one; none if none is. */
    static Optional<Setting> like(String key) {
        Setting nearest = null;
        int least = 4;
        for (Setting setting : values()) {
            int distance = distance(setting.key, key);
            if (distance < least) {
                least = distance;
                nearest = setting;
            }
        }
        return Optional.ofNullable(nearest);
    }

    /** How many characters have to be put in, taken out or replaced. */
    private static int distance(String one, String other) {
        int[] row = new int[other.length() + 1];
        for (int at = 0; at < row.length; at++) {
            row[at] = at;
        }
        for (int i = 1; i <= one.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j < row.length; j++) {
                int replaced = diagonal + (one.charAt(i - 1) == other.charAt(j - 1) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.min(replaced, 1 + Math.min(row[j], row[j - 1]));
            }
        }
        return row[other.length()];
    }
}
