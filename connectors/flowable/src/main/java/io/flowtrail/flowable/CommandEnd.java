package io.flowtrail.flowable;

import org.flowable.common.engine.impl.interceptor.CommandContext;
import org.flowable.common.engine.impl.interceptor.CommandContextCloseListener;

/** Hears of a command's end after all others, who may still have something to record. */
abstract class CommandEnd implements CommandContextCloseListener {
    @Override
    public void closing(CommandContext command) {}

    @Override
    public void afterSessionsFlush(CommandContext command) {}

    @Override
    public void closed(CommandContext command) {}

    @Override
    public void closeFailure(CommandContext command) {}

    @Override
    public Integer order() {
        return Integer.MAX_VALUE;
    }

    @Override
    public boolean multipleAllowed() {
        return true;
    }
}
