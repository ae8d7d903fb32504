package io.flowtrail.flowable;

import org.flowable.common.engine.impl.interceptor.CommandContext;

/** The way of events out of the engine. */
interface Outlet extends AutoCloseable {
    /** Takes what a command has gathered, once it is known that the command's changes last. Called at a command's first event. */
    void attend(CommandContext command, Gathered gathered);

    /** Ends within the bounded time of the settings, and sends what can be sent by then. May be called more than once. */
    @Override
    void close();
}
