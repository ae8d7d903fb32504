package io.flowtrail.flowable;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;

class SendQueueTest {
    @Test
    void aCommandIsTakenWholeOrNotAtAll() throws InterruptedException {
        SendQueue queue = new SendQueue(Long.MAX_VALUE, 3);
        assertTrue(queue.offer(events(2, 10)));
        assertFalse(queue.offer(events(2, 10)));
        assertTrue(queue.offer(events(1, 10)));
        assertEquals(2, queue.take().size());
        assertTrue(queue.offer(events(2, 10)));
    }

    @Test
    void bytesAreBoundedToo() throws InterruptedException {
        SendQueue queue = new SendQueue(1000, Long.MAX_VALUE);
        assertFalse(queue.offer(events(1, 1000)));
        assertTrue(queue.offer(events(1, 900)));
        assertFalse(queue.offer(events(1, 100)));
        queue.take();
        assertTrue(queue.offer(events(1, 100)));
    }

    @Test
    void onceClosedItGivesWhatItHasAndTakesNoMore() throws InterruptedException {
        SendQueue queue = new SendQueue(1000, 10);
        assertTrue(queue.offer(events(1, 1)));
        queue.close();
        assertFalse(queue.offer(events(1, 1)));
        assertEquals(1, queue.take().size());
        assertNull(queue.take());
    }

    private static List<Outgoing> events(int count, int bytes) {
        return Collections.nCopies(count, new Outgoing("a:1", new byte[bytes]));
    }
}
