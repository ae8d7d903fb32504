package io.flowtrail.flowable;

import org.flowable.engine.ProcessEngine;
import org.flowable.engine.impl.cfg.ProcessEngineConfigurationImpl;

/** JSON as the engine at hand has it: its classes are not the same in all versions. */
final class Jackson {
    private Jackson() {}

    static Object object(ProcessEngine engine, String json) {
        try {
            Object mapper = ProcessEngineConfigurationImpl.class.getMethod("getObjectMapper").invoke(engine.getProcessEngineConfiguration());
            return mapper.getClass().getMethod("readTree", String.class).invoke(mapper, json);
        } catch (ReflectiveOperationException exception) {
            throw new IllegalStateException(exception);
        }
    }
}
