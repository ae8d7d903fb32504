package io.flowtrail.flowable;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.Map;
import javax.management.MBeanServer;
import javax.management.ObjectName;
import org.flowable.engine.ProcessEngine;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** The jar as Flowable finds it. A port that nobody listens at is Kafka enough. */
class ConfiguratorTest {
    private static final List<String> SET = List.of("bootstrap.servers", "source", "close.timeout-ms", "mode", "topik");

    @AfterEach
    void forget() {
        SET.forEach(name -> System.clearProperty("flowtrail." + name));
    }

    @Test
    void itsCountersAreShownUntilTheEngineIsClosed() throws Exception {
        set(Map.of("bootstrap.servers", "127.0.0.1:1", "source", "shown", "close.timeout-ms", "100"));
        MBeanServer server = ManagementFactory.getPlatformMBeanServer();
        ObjectName name = ObjectName.getInstance("io.flowtrail.flowable:type=Counters,source=shown,engine=\"default\"");
        ProcessEngine engine = Engine.start(Engine.inMemory("shown"), "none", false);
        assertEquals(0L, server.getAttribute(name, "Queued"));
        engine.getRuntimeService().startProcessInstanceByKey("straight", Map.of("amount", 1));
        assertTrue((Long) server.getAttribute(name, "Queued") > 5);
        assertEquals(0L, server.getAttribute(name, "Sent"));
        engine.close();
        assertFalse(server.isRegistered(name));
    }

    @Test
    void theOutboxKeepsTheEventsOfACommandInOneRow() {
        set(Map.of("bootstrap.servers", "127.0.0.1:1", "mode", "outbox", "close.timeout-ms", "100"));
        ProcessEngine engine = Engine.start(Engine.inMemory("outbox"), "none", false);
        engine.getRuntimeService().startProcessInstanceByKey("straight", Map.of("amount", 1));
        assertEquals(1, engine.getManagementService().createHistoryJobQuery().handlerType(Outbox.TYPE).count());
        engine.close();
    }

    @Test
    void anEngineDoesNotStartWithASettingThatIsUnknown() {
        set(Map.of("topik", "x"));
        String said = assertThrows(IllegalArgumentException.class, () -> Engine.start(Engine.inMemory("unknown"), "none", false)).getMessage();
        assertTrue(said.endsWith("did you mean flowtrail.topic?"), said);
    }

    private static void set(Map<String, String> settings) {
        settings.forEach((name, value) -> System.setProperty("flowtrail." + name, value));
    }
}
