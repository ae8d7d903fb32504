package io.flowtrail.flowable;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;

/** A getter that later engine versions have, and the one that is compiled against has not. Where it is missing, all it gets is null. */
final class LaterGetter {
    private final Method method;

    LaterGetter(Class<?> type, String name) {
        method = find(type, name);
    }

    Object of(Object entity) {
        try {
            return method == null ? null : method.invoke(entity);
        } catch (IllegalAccessException | InvocationTargetException exception) {
            throw new IllegalStateException(method + " of the engine can't be called", exception);
        }
    }

    private static Method find(Class<?> type, String name) {
        try {
            return type.getMethod(name);
        } catch (NoSuchMethodException earlierVersion) {
            return null;
        }
    }
}
