package io.flowtrail.flowable;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;

class SettingsReaderTest {
    private static final Map<String, String> NONE = Map.of();

    @Test
    void propertiesGoBeforeTheEnvironmentAndThatBeforeTheFile() {
        Map<String, String> file = Map.of("topic", "of-file", "source", "of-file", "flowtrail.mode", "outbox");
        Map<String, String> environment = Map.of("FLOWTRAIL_SOURCE", "of-environment", "FLOWTRAIL_TOPIC", "of-environment");
        Settings settings = SettingsReader.read(Map.of("flowtrail.topic", "of-property", "java.version", "17"), environment, file);
        assertEquals("of-property", settings.topic());
        assertEquals("of-environment", settings.source());
        assertTrue(settings.isOutbox());
    }

    @Test
    void nothingIsRecordedUntilItIsSaidWhereTo() {
        assertFalse(SettingsReader.read(NONE, NONE, NONE).isOn());
        assertTrue(SettingsReader.read(NONE, Map.of("FLOWTRAIL_BOOTSTRAP_SERVERS", "kafka:9092"), NONE).isOn());
    }

    @Test
    void whatIsNotSetIsAsDocumented() {
        Settings settings = SettingsReader.read(NONE, NONE, NONE);
        Settings wanted = new Settings("", "flow.history", "flowable", false, false, true, true, 32 << 20, 100_000,
                Duration.ofSeconds(10), Duration.ofSeconds(1), Map.of());
        assertEquals(wanted, settings);
    }

    @Test
    void anUnknownNameIsToldWithTheOneThatMayBeMeant() {
        assertEquals("flowtrail knows no setting by the name of the system property flowtrail.bootstrap.server,"
                + " did you mean flowtrail.bootstrap.servers?", refusal(Map.of("flowtrail.bootstrap.server", "x"), NONE));
        assertEquals("flowtrail knows no setting by the name of the environment variable FLOWTRAIL_COLOUR",
                refusal(NONE, Map.of("FLOWTRAIL_COLOUR", "x")));
    }

    @Test
    void whatIsOfTheCommandInTheSameEnvironmentIsNoSettingOfOurs() {
        SettingsReader.read(NONE, Map.of("FLOWTRAIL_KAFKA__GROUP", "x"), NONE);
    }

    @Test
    void aValueThatMakesNoSenseIsToldWithWhatWould() {
        assertEquals("flowtrail.mode is 'sometimes', but has to be outbox or after-commit", refusal(Map.of("flowtrail.mode", "sometimes"), NONE));
        assertEquals("flowtrail.queue.events is '0', but has to be a number from 1 to 9223372036854775807",
                refusal(Map.of("flowtrail.queue.events", "0"), NONE));
        assertEquals("flowtrail.source is 'a:b', but has to be 1 to 64 letters, digits, dots, dashes and underscores",
                refusal(Map.of("flowtrail.source", "a:b"), NONE));
    }

    @Test
    void theProducersOwnPropertiesArePassedOn() {
        Map<String, String> properties = Map.of("flowtrail.kafka.security.protocol", "SSL", "flowtrail.kafka.linger.ms", "7");
        Map<String, String> environment = Map.of("FLOWTRAIL_KAFKA_LINGER_MS", "9", "FLOWTRAIL_KAFKA_COMPRESSION_TYPE", "gzip");
        assertEquals(Map.of("security.protocol", "SSL", "linger.ms", "7", "compression.type", "gzip"),
                SettingsReader.read(properties, environment, NONE).kafka());
    }

    private static String refusal(Map<String, String> properties, Map<String, String> environment) {
        return assertThrows(IllegalArgumentException.class, () -> SettingsReader.read(properties, environment, NONE)).getMessage();
    }
}
