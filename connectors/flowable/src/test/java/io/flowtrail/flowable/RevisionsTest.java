package io.flowtrail.flowable;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Iterator;
import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class RevisionsTest {
    @Test
    void eachIsGreaterThanTheOneBeforeWhateverTheClockDoes() {
        Iterator<Long> clock = List.of(10L, 10L, 3L, 20L, 12L).iterator();
        Revisions revisions = new Revisions(clock::next);
        List<Long> made = LongStream.generate(revisions::next).limit(5).boxed().toList();
        assertEquals(List.of(10L, 11L, 12L, 20L, 21L), made);
    }
}
