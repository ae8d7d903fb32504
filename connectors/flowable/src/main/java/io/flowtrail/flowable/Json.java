package io.flowtrail.flowable;

import com.google.protobuf.ByteString;
import java.util.Date;

/** A JSON object as it is written: compact, its fields in the order in which they are put. */
final class Json {
    /** What most objects have room in, in characters. */
    private static final int USUAL = 256;

    private final StringBuilder text = new StringBuilder(USUAL).append('{');

    /** Puts a field that has a value; null is left out. Dates are ISO 8601 in UTC with milliseconds. */
    Json put(String name, Object value) {
        return value == null ? this : write(name, value);
    }

    /** Puts a field that is neither null nor empty text. */
    Json putKnown(String name, Object value) {
        return "".equals(value) ? this : put(name, value);
    }

    /** Puts a field whatever it is: null takes back what an earlier object said. */
    Json putAnyway(String name, Object value) {
        return write(name, value);
    }

    boolean isEmpty() {
        return text.length() == 1;
    }

    ByteString bytes() {
        return ByteString.copyFromUtf8(toString());
    }

    @Override
    public String toString() {
        String object = text.append('}').toString();
        text.setLength(text.length() - 1);
        return object;
    }

    private Json write(String name, Object value) {
        if (!isEmpty()) {
            text.append(',');
        }
        quote(name);
        text.append(':');
        if (value instanceof Date date) {
            quote(Times.iso(date));
        } else if (value == null || value instanceof Boolean || isFinite(value)) {
            text.append(value);
        } else {
            quote(value.toString());
        }
        return this;
    }

    /** JSON has no word for NaN and the infinities: they are text. */
    private static boolean isFinite(Object value) {
        return value instanceof Number number && Double.isFinite(number.doubleValue());
    }

    private void quote(String value) {
        text.append('"');
        // As few pieces as there can be: hardly any text has something to escape.
        int written = 0;
        for (int at = 0; at < value.length(); at++) {
            char c = value.charAt(at);
            if (c < ' ' || c == '"' || c == '\\') {
                text.append(value, written, at);
                escape(c);
                written = at + 1;
            }
        }
        text.append(value, written, value.length()).append('"');
    }

    private void escape(char c) {
        switch (c) {
            case '"', '\\' -> text.append('\\').append(c);
            case '\n' -> text.append("\\n");
            case '\r' -> text.append("\\r");
            case '\t' -> text.append("\\t");
            default -> text.append(String.format("\\u%04x", (int) c));
        }
    }
}
