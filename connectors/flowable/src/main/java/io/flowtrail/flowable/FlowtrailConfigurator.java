package io.flowtrail.flowable;

import java.lang.management.ManagementFactory;
import java.util.Hashtable;
import java.util.concurrent.atomic.AtomicBoolean;
import javax.management.JMException;
import javax.management.MBeanServer;
import javax.management.ObjectName;
import org.flowable.common.engine.impl.AbstractEngineConfiguration;
import org.flowable.common.engine.impl.EngineConfigurator;
import org.flowable.engine.impl.cfg.ProcessEngineConfigurationImpl;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Puts flowtrail into a process engine. Flowable finds it by itself when the jar is on the class path; other engines than the process
 * engine are left alone. Without {@code flowtrail.bootstrap.servers} it does nothing and says so.
 */
public final class FlowtrailConfigurator implements EngineConfigurator {
    private static final Logger LOG = LoggerFactory.getLogger(FlowtrailConfigurator.class);

    private final Counters counters = new Counters();
    private final AtomicBoolean isClosed = new AtomicBoolean();
    private Settings settings;
    private Outlet outlet;

    /** Called by Flowable. */
    public FlowtrailConfigurator() {}

    /** After all others, so that it listens to the history manager that they have chosen. */
    @Override
    public int getPriority() {
        return Integer.MAX_VALUE;
    }

    /**
     * Reads the settings.
     *
     * @throws IllegalArgumentException if one is unknown or makes no sense; then the engine does not start
     */
    @Override
    public void beforeInit(AbstractEngineConfiguration configuration) {
        if (!(configuration instanceof ProcessEngineConfigurationImpl engine)) {
            return;
        }
        settings = SettingsReader.read();
        if (!settings.isOn()) {
            LOG.info("flowtrail records nothing: flowtrail.bootstrap.servers is not set");
        } else if (settings.isOutbox()) {
            Outbox outbox = new Outbox(settings, counters);
            outbox.prepare(engine);
            outlet = outbox;
        }
    }

    @Override
    public void configure(AbstractEngineConfiguration configuration) {
        if (!(configuration instanceof ProcessEngineConfigurationImpl engine) || !settings.isOn()) {
            return;
        }
        if (outlet instanceof Outbox outbox) {
            outbox.use(engine);
        } else {
            outlet = new AfterCommit(settings, counters);
        }
        Recorder recorder = new Recorder(engine, settings, counters, new Gathering(outlet));
        engine.setHistoryManager(ListeningHistoryManager.around(engine.getHistoryManager(), recorder));
        ObjectName name = show(engine.getEngineName());
        Thread atExit = new Thread(() -> close(name), "flowtrail-exit");
        Runtime.getRuntime().addShutdownHook(atExit);
        engine.getEventDispatcher().addEventListener(new EngineListener(recorder, () -> {
            close(name);
            forget(atExit);
        }), EngineListener.TYPES);
        LOG.info("flowtrail records the history of engine {} as {} to {} at {}, {}", engine.getEngineName(), settings.source(),
                settings.topic(), settings.bootstrapServers(), settings.isOutbox() ? "by its outbox" : "after commit");
    }

    private void close(ObjectName name) {
        if (isClosed.compareAndSet(false, true)) {
            outlet.close();
            hide(name);
            LOG.info("flowtrail has sent {} events, dropped {}, and {} have failed", counters.sent, counters.dropped, counters.failed);
        }
    }

    private static void forget(Thread atExit) {
        try {
            Runtime.getRuntime().removeShutdownHook(atExit);
        } catch (IllegalStateException exiting) {
            LOG.debug("the JVM is about to end", exiting);
        }
    }

    /** Counters that can't be shown are no reason not to record. */
    private ObjectName show(String engineName) {
        Hashtable<String, String> keys = new Hashtable<>();
        keys.put("type", "Counters");
        keys.put("source", settings.source());
        keys.put("engine", ObjectName.quote(engineName));
        MBeanServer server = ManagementFactory.getPlatformMBeanServer();
        try {
            return server.registerMBean(counters, ObjectName.getInstance("io.flowtrail.flowable", keys)).getObjectName();
        } catch (JMException exception) {
            LOG.warn("flowtrail can't show its counters by JMX: {}", exception.toString());
            return null;
        }
    }

    private static void hide(ObjectName name) {
        if (name == null) {
            return;
        }
        try {
            ManagementFactory.getPlatformMBeanServer().unregisterMBean(name);
        } catch (JMException exception) {
            LOG.debug("flowtrail's counters are not shown any more", exception);
        }
    }
}
