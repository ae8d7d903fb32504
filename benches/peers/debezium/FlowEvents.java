package flowtrail;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.WireFormat;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.transforms.Transformation;

/**
 * Makes structured records of encoded HistoryEvents: a step's go to steps_in, a flow's to flowstate_in, others nowhere. The only
 * converter for protobuf that is kept up wants a registry of schemas and is not on Maven Central.
 */
public class FlowEvents<R extends ConnectRecord<R>> implements Transformation<R> {
    private static final Schema TEXT = Schema.OPTIONAL_STRING_SCHEMA;
    private static final Schema BYTES = Schema.OPTIONAL_BYTES_SCHEMA;
    private static final Schema NUMBER = Schema.OPTIONAL_INT64_SCHEMA;
    private static final Schema SMALL = Schema.OPTIONAL_INT16_SCHEMA;
    private static final Schema BOOL = Schema.OPTIONAL_BOOLEAN_SCHEMA;
    private static final Schema TIME =
            SchemaBuilder.int64().name("io.debezium.time.MicroTimestamp").version(1).optional().build();

    private static final int CLOSED = 3;

    /** Columns by the number of the field that each comes from, from 1 on; null where there is none. */
    private static final String[] STEP_COLUMNS = {
        "flowinstanceid", "stepid", "execution", "phase", "status", "status", "taskname", "flowname", "subflowid",
        "parentstepid", "starttime", "endtime", "rerun", "stepdata", "input", "output", "error", "misc",
    };
    private static final String[] FLOW_COLUMNS = {
        "flowinstanceid", "run", "phase", "status", "status", "userid", "appname", "appversion", "flowname", "hostid",
        "starttime", "endtime", "parentflowinstanceid", "parentflowname", "rerunofflowinstanceid", "flowinput",
        "flowoutput", "error", "traceid",
    };
    private static final Map<Integer, String> STEP_STATUS = Map.of(
            1, "Created", 2, "Unknown", 10, "Scheduled", 20, "Started", 30, "Waiting", 40, "Completed", 50, "Skipped",
            100, "Failed", 110, "Cancelled");
    private static final Map<Integer, String> FLOW_STATUS =
            Map.of(1, "Created", 100, "Started", 500, "Completed", 600, "Cancelled", 700, "Failed");

    private static final Schema STEP = SchemaBuilder.struct().name("step")
            .field("flowinstanceid", TEXT).field("stepid", TEXT).field("execution", NUMBER).field("phase", SMALL)
            .field("status", TEXT).field("taskname", TEXT).field("flowname", TEXT).field("subflowid", TEXT)
            .field("parentstepid", TEXT).field("starttime", TIME).field("endtime", TIME).field("rerun", BOOL)
            .field("stepdata", BYTES).field("input", BYTES).field("output", BYTES).field("error", BYTES)
            .field("misc", BYTES).build();
    private static final Schema FLOW = SchemaBuilder.struct().name("flow")
            .field("flowinstanceid", TEXT).field("run", NUMBER).field("phase", SMALL).field("status", TEXT)
            .field("userid", TEXT).field("appname", TEXT).field("appversion", TEXT).field("flowname", TEXT)
            .field("hostid", TEXT).field("starttime", TIME).field("endtime", TIME)
            .field("parentflowinstanceid", TEXT).field("parentflowname", TEXT).field("rerunofflowinstanceid", TEXT)
            .field("flowinput", BYTES).field("flowoutput", BYTES).field("error", BYTES).field("traceid", TEXT).build();

    @Override
    public R apply(R record) {
        try {
            CodedInputStream input = CodedInputStream.newInstance((byte[]) record.value());
            int kind = WireFormat.getTagFieldNumber(input.readTag());
            int limit = input.pushLimit(input.readRawVarint32());
            Struct row;
            if (kind == 2) {
                row = new Struct(STEP).put("phase", (short) 1).put("rerun", false);
                read(input, row, STEP_COLUMNS, STEP_STATUS);
            } else if (kind == 1) {
                row = new Struct(FLOW).put("phase", (short) 1).put("hostid", "").put("run", 0L);
                read(input, row, FLOW_COLUMNS, FLOW_STATUS);
            } else {
                return null;
            }
            input.popLimit(limit);
            String table = kind == 2 ? "steps_in" : "flowstate_in";
            return record.newRecord(table, record.kafkaPartition(), null, null, row.schema(), row, record.timestamp());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void read(CodedInputStream input, Struct row, String[] columns, Map<Integer, String> words)
            throws IOException {
        int phase = 0;
        for (int tag = input.readTag(); tag != 0; tag = input.readTag()) {
            int number = WireFormat.getTagFieldNumber(tag);
            if (number > columns.length) {
                input.skipField(tag);
                continue;
            }
            String column = columns[number - 1];
            if (column.equals("phase")) {
                phase = input.readEnum();
                row.put(column, (short) (phase - 1));
            } else if (column.equals("status")) {
                // The runtime's own word comes after the number, and wins.
                boolean word = WireFormat.getTagWireType(tag) == WireFormat.WIRETYPE_LENGTH_DELIMITED;
                row.put(column, word ? input.readString() : words.get(input.readEnum()));
            } else {
                Schema schema = row.schema().field(column).schema();
                switch (schema.type()) {
                    case STRING -> row.put(column, input.readString());
                    case BYTES -> row.put(column, input.readByteArray());
                    case BOOLEAN -> row.put(column, input.readBool());
                    default -> row.put(column, schema == TIME ? micros(input) : input.readInt64());
                }
            }
        }
        if (phase != CLOSED) {
            row.put("endtime", null);
        }
    }

    private static long micros(CodedInputStream input) throws IOException {
        int limit = input.pushLimit(input.readRawVarint32());
        long seconds = 0;
        int nanos = 0;
        for (int tag = input.readTag(); tag != 0; tag = input.readTag()) {
            switch (WireFormat.getTagFieldNumber(tag)) {
                case 1 -> seconds = input.readInt64();
                case 2 -> nanos = input.readInt32();
                default -> input.skipField(tag);
            }
        }
        input.popLimit(limit);
        return seconds * 1_000_000 + nanos / 1_000;
    }

    @Override
    public ConfigDef config() {
        return new ConfigDef();
    }

    @Override
    public void configure(Map<String, ?> settings) {}

    @Override
    public void close() {}
}
