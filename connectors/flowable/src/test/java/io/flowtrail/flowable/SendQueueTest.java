package io.flowtrail.flowable;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class SendQueueTest {
    @Test
    void aCommandIsTakenWholeOrNotAtAll() throws InterruptedException {
        SendQueue queue = new SendQueue(Long.MAX_VALUE, 3, Duration.ZERO);
        assertTrue(queue.offer(events(2, 10)));
        assertFalse(queue.offer(events(2, 10)));
        assertTrue(queue.offer(events(1, 10)));
        assertEquals(2, queue.take().size());
        assertTrue(queue.offer(events(2, 10)));
    }

    @Test
    void bytesAreBoundedToo() throws InterruptedException {
        SendQueue queue = new SendQueue(1000, Long.MAX_VALUE, Duration.ZERO);
        assertFalse(queue.offer(events(1, 1000)));
        assertTrue(queue.offer(events(1, 900)));
        assertFalse(queue.offer(events(1, 100)));
        queue.take();
        assertTrue(queue.offer(events(1, 100)));
    }

    @Test
    void onceClosedItGivesWhatItHasAndTakesNoMore() throws InterruptedException {
        SendQueue queue = new SendQueue(1000, 10, Duration.ZERO);
        assertTrue(queue.offer(events(1, 1)));
        queue.close();
        assertFalse(queue.offer(events(1, 1)));
        assertEquals(1, queue.take().size());
        assertNull(queue.take());
    }

    @Test
    void whoNapsIsWokenByAQueueThatIsHalfFullOrClosed() throws Exception {
        SendQueue queue = new SendQueue(Long.MAX_VALUE, 4, Duration.ofDays(1));
        Future<List<Outgoing>> command = asleep(queue, Thread.State.TIMED_WAITING);
        assertTrue(queue.offer(events(3, 1)));
        assertEquals(3, command.get(1, TimeUnit.MINUTES).size());
        Future<List<Outgoing>> nothing = asleep(queue, Thread.State.TIMED_WAITING);
        queue.close();
        assertNull(nothing.get(1, TimeUnit.MINUTES));
    }

    @Test
    void whoHasNappedIsWokenByTheNextCommand() throws Exception {
        SendQueue queue = new SendQueue(Long.MAX_VALUE, 100, Duration.ofMillis(1));
        Future<List<Outgoing>> command = asleep(queue, Thread.State.WAITING);
        assertTrue(queue.offer(events(1, 1)));
        assertEquals(1, command.get(1, TimeUnit.MINUTES).size());
    }

    /** What a thread takes that waits for it in this way. */
    private static Future<List<Outgoing>> asleep(SendQueue queue, Thread.State how) {
        FutureTask<List<Outgoing>> taken = new FutureTask<>(queue::take);
        Thread taker = new Thread(taken);
        taker.setDaemon(true);
        taker.start();
        long deadline = System.nanoTime() + TimeUnit.MINUTES.toNanos(1);
        while (taker.getState() != how) {
            assertTrue(System.nanoTime() < deadline, "it does not wait");
            Thread.onSpinWait();
        }
        return taken;
    }

    private static List<Outgoing> events(int count, int bytes) {
        return Collections.nCopies(count, new Outgoing("a:1", new byte[bytes]));
    }
}
