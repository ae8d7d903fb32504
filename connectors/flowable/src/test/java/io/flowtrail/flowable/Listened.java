package io.flowtrail.flowable;

import com.google.protobuf.InvalidProtocolBufferException;
import flowtrail.history.v1.History.HistoryEvent;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.flowable.common.engine.impl.cfg.TransactionState;
import org.flowable.common.engine.impl.context.Context;
import org.flowable.common.engine.impl.interceptor.CommandContext;
import org.flowable.engine.ProcessEngine;
import org.flowable.engine.impl.cfg.ProcessEngineConfigurationImpl;

/** An engine of its own, and the events of what was committed in it. */
final class Listened implements Outlet {
    final ProcessEngine engine;
    final List<HistoryEvent> events = new ArrayList<>();
    final Counters counters = new Counters();

    Listened(String name, String historyLevel, Map<String, String> settings) {
        engine = Engine.start(Engine.inMemory(name), historyLevel, false);
        ProcessEngineConfigurationImpl configuration = (ProcessEngineConfigurationImpl) engine.getProcessEngineConfiguration();
        Settings read = SettingsReader.read(settings, Map.of(), Map.of());
        Recorder recorder = new Recorder(configuration, read, counters, new Gathering(this));
        configuration.setHistoryManager(ListeningHistoryManager.around(configuration.getHistoryManager(), recorder));
        configuration.getEventDispatcher().addEventListener(new EngineListener(recorder, () -> {}), EngineListener.TYPES);
    }

    @Override
    public void attend(CommandContext command, Gathered gathered) {
        Context.getTransactionContext().addTransactionListener(TransactionState.COMMITTED, committed -> {
            for (Outgoing record : gathered.records()) {
                events.add(parsed(record));
            }
        });
    }

    List<HistoryEvent> steps() {
        return events.stream().filter(HistoryEvent::hasStep).toList();
    }

    @Override
    public void close() {
        engine.close();
    }

    private static HistoryEvent parsed(Outgoing record) {
        try {
            return HistoryEvent.parseFrom(record.value());
        } catch (InvalidProtocolBufferException exception) {
            throw new IllegalStateException(exception);
        }
    }
}
