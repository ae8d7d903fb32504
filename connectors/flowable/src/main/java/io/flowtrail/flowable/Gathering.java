package io.flowtrail.flowable;

import flowtrail.history.v1.History.HistoryEvent;
import org.flowable.common.engine.impl.context.Context;
import org.flowable.common.engine.impl.interceptor.CommandContext;

/** Finds what the current command has gathered. Nested commands share the context of the outermost, and so what it gathers. */
final class Gathering {
    private final String attribute = "flowtrail-" + System.identityHashCode(this);
    private final Outlet outlet;

    Gathering(Outlet outlet) {
        this.outlet = outlet;
    }

    /** Adds an event of the current command. There has to be one. */
    void add(HistoryEvent event) {
        CommandContext command = Context.getCommandContext();
        Gathered gathered = (Gathered) command.getAttribute(attribute);
        if (gathered == null) {
            gathered = new Gathered();
            outlet.attend(command, gathered);
            command.addAttribute(attribute, gathered);
        }
        gathered.put(event);
    }
}
