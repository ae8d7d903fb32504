package io.flowtrail.flowable;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

/** What waits to be sent, by command; bounded in events and bytes. Never makes anyone wait who puts something in. */
final class SendQueue {
    private static final long NAP_MS = 10;

    private final Deque<List<Outgoing>> commands = new ArrayDeque<>();
    private final long mostBytes;
    private final long mostEvents;
    private long bytes;
    private long events;
    private boolean isClosed;
    /** Whether the next command has to wake who takes. */
    private boolean isIdle;

    SendQueue(long mostBytes, long mostEvents) {
        this.mostBytes = mostBytes;
        this.mostEvents = mostEvents;
    }

    /** Takes all of a command's events, or none if they have no room. */
    synchronized boolean offer(List<Outgoing> command) {
        long size = size(command);
        boolean hasRoom = bytes + size <= mostBytes && events + command.size() <= mostEvents;
        if (isClosed || !hasRoom) {
            return false;
        }
        commands.add(command);
        bytes += size;
        events += command.size();
        if (isIdle) {
            isIdle = false;
            notifyAll();
        }
        return true;
    }

    /** The next command's events; null once the queue is closed and empty. Of one taker. */
    synchronized List<Outgoing> take() throws InterruptedException {
        if (commands.isEmpty() && !isClosed) {
            // Waking a thread costs more than sending an event: those of some milliseconds are sent by one that wakes up by itself.
            wait(NAP_MS);
        }
        while (commands.isEmpty()) {
            if (isClosed) {
                return null;
            }
            isIdle = true;
            wait();
        }
        List<Outgoing> command = commands.remove();
        bytes -= size(command);
        events -= command.size();
        return command;
    }

    /** Takes no more. */
    synchronized void close() {
        isClosed = true;
        notifyAll();
    }

    /** Throws away what is left, and says how many events that was. */
    synchronized long clear() {
        long left = events;
        commands.clear();
        bytes = 0;
        events = 0;
        return left;
    }

    private static long size(List<Outgoing> command) {
        long size = 0;
        for (Outgoing record : command) {
            size += record.size();
        }
        return size;
    }
}
