package io.flowtrail.flowable;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** A command's records as the bytes of a row: their number, then key and value of each after its length. */
final class OutboxRow {
    private OutboxRow() {}

    static byte[] write(List<Outgoing> records) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (DataOutputStream out = new DataOutputStream(bytes)) {
            out.writeInt(records.size());
            for (Outgoing record : records) {
                write(out, record.key().getBytes(StandardCharsets.UTF_8));
                write(out, record.value());
            }
        } catch (IOException exception) {
            throw new UncheckedIOException(exception);
        }
        return bytes.toByteArray();
    }

    static List<Outgoing> read(byte[] row) {
        try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(row))) {
            int count = in.readInt();
            List<Outgoing> records = new ArrayList<>(count);
            for (int at = 0; at < count; at++) {
                String key = new String(in.readNBytes(in.readInt()), StandardCharsets.UTF_8);
                records.add(new Outgoing(key, in.readNBytes(in.readInt())));
            }
            return records;
        } catch (IOException exception) {
            throw new UncheckedIOException("an outbox row is cut short", exception);
        }
    }

    private static void write(DataOutputStream out, byte[] bytes) throws IOException {
        out.writeInt(bytes.length);
        out.write(bytes);
    }
}
