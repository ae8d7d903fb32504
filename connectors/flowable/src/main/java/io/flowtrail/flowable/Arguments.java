package io.flowtrail.flowable;

/** The arguments of a call: by their types, and from the end, since engine versions put more of them in before those. */
final class Arguments {
    private final Object[] values;

    Arguments(Object[] values) {
        this.values = values == null ? new Object[0] : values;
    }

    int count() {
        return values.length;
    }

    /** The first of this type; null if there is none. */
    <T> T first(Class<T> type) {
        for (Object value : values) {
            if (type.isInstance(value)) {
                return type.cast(value);
            }
        }
        return null;
    }

    /** The last is 1 from the end. What is null has no type to be found by. */
    String textFromEnd(int place) {
        return (String) values[values.length - place];
    }
}
