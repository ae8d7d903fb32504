package io.flowtrail.flowable;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Date;
import org.junit.jupiter.api.Test;

class JsonTest {
    @Test
    void fieldsKeepTheirOrderAndNoSpaceIsBetweenThem() {
        Json json = new Json().put("z", "1").put("a", 2).put("m", true).put("d", new Date(1_700_000_000_007L));
        assertEquals("{\"z\":\"1\",\"a\":2,\"m\":true,\"d\":\"2023-11-14T22:13:20.007Z\"}", json.toString());
    }

    @Test
    void timesHaveMillisecondsAlsoWhereThereAreNone() {
        assertEquals("{\"a\":\"2023-11-14T22:13:20.000Z\",\"b\":\"1969-12-31T23:59:00.000Z\",\"c\":\"1969-12-31T23:59:59.900Z\"}",
                new Json().put("a", new Date(1_700_000_000_000L)).put("b", new Date(-60_000)).put("c", new Date(-100)).toString());
    }

    @Test
    void nullIsLeftOutUnlessItTakesSomethingBack() {
        assertTrue(new Json().put("a", null).putKnown("b", null).putKnown("c", "").isEmpty());
        assertEquals("{\"a\":null,\"b\":\"\"}", new Json().putAnyway("a", null).put("b", "").toString());
    }

    @Test
    void whatJsonHasNoWordForIsEscapedOrText() {
        assertEquals("{\"a\\\"\\\\\":\"\\n\\t\\r\\u0000é\"}", new Json().put("a\"\\", "\n\t\r\0é").toString());
        assertEquals("{\"a\":\"one\\ntwo \\\"three\\\" four\"}", new Json().put("a", "one\ntwo \"three\" four").toString());
        assertEquals("{\"a\":\"NaN\",\"b\":\"-Infinity\",\"c\":0.1}",
                new Json().put("a", Double.NaN).put("b", Double.NEGATIVE_INFINITY).put("c", 0.1).toString());
    }
}
