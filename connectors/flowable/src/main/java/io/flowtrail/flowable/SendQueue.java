package io.flowtrail.flowable;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** What waits to be sent, by command; bounded in events and bytes. Never makes anyone wait who puts something in. */
final class SendQueue {
    private final Deque<List<Outgoing>> commands = new ArrayDeque<>();
    private final long mostBytes;
    private final long mostEvents;
    private final long napMillis;
    private long bytes;
    private long events;
    private boolean isClosed;
    /** Whether who takes has slept enough, and waits for the next command. */
    private boolean isIdle;

    /**
     * @param nap how long who has taken everything sleeps before it looks again: what comes meanwhile wakes nobody, unless it fills half
     *     of the queue. Waking a thread for each command costs the engine more than making its events
     */
    SendQueue(long mostBytes, long mostEvents, Duration nap) {
        this.mostBytes = mostBytes;
        this.mostEvents = mostEvents;
        napMillis = nap.toMillis();
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
        if (isIdle || bytes > mostBytes / 2 || events > mostEvents / 2) {
            notifyAll();
        }
        return true;
    }

    /** The next command's events; null once the queue is closed and empty. One thread takes. */
    synchronized List<Outgoing> take() throws InterruptedException {
        if (commands.isEmpty() && !isClosed) {
            TimeUnit.MILLISECONDS.timedWait(this, napMillis);
        }
        while (commands.isEmpty()) {
            if (isClosed) {
                return null;
            }
            isIdle = true;
            wait();
        }
        isIdle = false;
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
