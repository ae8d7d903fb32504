package io.flowtrail.flowable;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

class OutboxRowTest {
    @Test
    void aRowHoldsRecordsInTheirOrder() {
        List<Outgoing> records = List.of(new Outgoing("ä:1", new byte[] {1, 2}), new Outgoing("b:2", new byte[0]));
        List<Outgoing> read = OutboxRow.read(OutboxRow.write(records));
        assertEquals(List.of("ä:1", "b:2"), read.stream().map(Outgoing::key).toList());
        assertArrayEquals(new byte[] {1, 2}, read.get(0).value());
        assertArrayEquals(new byte[0], read.get(1).value());
    }
}
