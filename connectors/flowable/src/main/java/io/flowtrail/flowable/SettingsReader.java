package io.flowtrail.flowable;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;

/**
 * Reads the settings: system properties {@code flowtrail.*}, then the environment's {@code FLOWTRAIL_*}, then
 * {@code flowtrail.properties} on the class path; the first that has a setting counts.
 */
final class SettingsReader {
    private static final String PREFIX = "flowtrail.";
    private static final String ENVIRONMENT_PREFIX = "FLOWTRAIL_";

    private final Map<String, String> found = new TreeMap<>();

    private SettingsReader() {}

    /**
     * The settings of this JVM.
     *
     * @throws IllegalArgumentException if a name is unknown or a value makes no sense
     */
    static Settings read() {
        Map<String, String> properties = new HashMap<>();
        System.getProperties().forEach((key, value) -> properties.put(key.toString(), value.toString()));
        return read(properties, System.getenv(), file());
    }

    static Settings read(Map<String, String> properties, Map<String, String> environment, Map<String, String> file) {
        SettingsReader reader = new SettingsReader();
        properties.forEach((key, value) -> {
            if (key.startsWith(PREFIX)) {
                reader.put(key.substring(PREFIX.length()), value, "the system property " + key);
            }
        });
        environment.forEach((key, value) -> {
            // With two underscores it is one of the flowtrail command's.
            if (key.startsWith(ENVIRONMENT_PREFIX) && !key.contains("__")) {
                reader.put(nameOf(key.substring(ENVIRONMENT_PREFIX.length())), value, "the environment variable " + key);
            }
        });
        file.forEach((key, value) -> {
            String name = key.startsWith(PREFIX) ? key.substring(PREFIX.length()) : key;
            reader.put(name, value, key + " in flowtrail.properties");
        });
        return reader.settings();
    }

    private static Map<String, String> file() {
        Map<String, String> properties = new HashMap<>();
        ClassLoader context = Thread.currentThread().getContextClassLoader();
        ClassLoader loader = context == null ? SettingsReader.class.getClassLoader() : context;
        try (InputStream stream = loader.getResourceAsStream("flowtrail.properties")) {
            if (stream != null) {
                Properties read = new Properties();
                read.load(stream);
                read.forEach((key, value) -> properties.put(key.toString(), value.toString()));
            }
        } catch (IOException exception) {
            throw new UncheckedIOException("flowtrail.properties can't be read", exception);
        }
        return properties;
    }

    private static String nameOf(String variable) {
        for (Setting setting : Setting.values()) {
            if (setting.inEnvironment().equals(variable)) {
                return setting.key;
            }
        }
        return variable.toLowerCase(Locale.ROOT).replace('_', '.');
    }

    private void put(String name, String value, String where) {
        if (!Setting.isKnown(name)) {
            String hint = Setting.like(name).map(setting -> ", did you mean " + PREFIX + setting.key + "?").orElse("");
            throw new IllegalArgumentException("flowtrail knows no setting by the name of " + where + hint);
        }
        found.putIfAbsent(name, value.strip());
    }

    private Settings settings() {
        Map<String, String> kafka = new TreeMap<>();
        found.forEach((name, value) -> {
            if (name.startsWith(Setting.KAFKA)) {
                kafka.put(name.substring(Setting.KAFKA.length()), value);
            }
        });
        return new Settings(
                text(Setting.BOOTSTRAP_SERVERS),
                text(Setting.TOPIC),
                source(),
                choice(Setting.MODE, "outbox", "after-commit"),
                choice(Setting.SEQUENCE_FLOWS, "on", "off"),
                choice(Setting.VARIABLES, "on", "off"),
                choice(Setting.DELETIONS, "on", "off"),
                number(Setting.QUEUE_BYTES, Long.MAX_VALUE),
                number(Setting.QUEUE_EVENTS, Long.MAX_VALUE),
                Duration.ofMillis(number(Setting.CLOSE_TIMEOUT, Integer.MAX_VALUE)),
                Duration.ofMillis(number(Setting.OUTBOX_POLL, Integer.MAX_VALUE)),
                Map.copyOf(kafka));
    }

    private String text(Setting setting) {
        return found.getOrDefault(setting.key, setting.byDefault);
    }

    private String source() {
        String source = text(Setting.SOURCE);
        if (!source.matches("[A-Za-z0-9._-]{1,64}")) {
            throw wrong(Setting.SOURCE, source, "1 to 64 letters, digits, dots, dashes and underscores");
        }
        return source;
    }

    /** Whether the first of two words was chosen. */
    private boolean choice(Setting setting, String yes, String no) {
        String value = text(setting);
        if (!value.equals(yes) && !value.equals(no)) {
            throw wrong(setting, value, yes + " or " + no);
        }
        return value.equals(yes);
    }

    private long number(Setting setting, long greatest) {
        String value = text(setting);
        try {
            long number = Long.parseLong(value);
            if (number > 0 && number <= greatest) {
                return number;
            }
        } catch (NumberFormatException noNumber) {
            // Said below.
        }
        throw wrong(setting, value, "a number from 1 to " + greatest);
    }

    private static IllegalArgumentException wrong(Setting setting, String value, String wanted) {
        return new IllegalArgumentException(PREFIX + setting.key + " is '" + value + "', but has to be " + wanted);
    }
}
