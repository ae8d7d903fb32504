package io.flowtrail.flowable;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import org.flowable.engine.impl.history.HistoryManager;

/**
 * A history manager that tells the recorder of every call before it passes it on. It goes by the names of methods, since engine versions
 * differ in their parameters, and in which methods there are; what it does not know is passed on all the same.
 */
final class ListeningHistoryManager implements InvocationHandler {
    private final HistoryManager engine;
    private final Recorder recorder;

    private ListeningHistoryManager(HistoryManager engine, Recorder recorder) {
        this.engine = engine;
        this.recorder = recorder;
    }

    static HistoryManager around(HistoryManager engine, Recorder recorder) {
        ClassLoader loader = ListeningHistoryManager.class.getClassLoader();
        Class<?>[] interfaces = {HistoryManager.class};
        return (HistoryManager) Proxy.newProxyInstance(loader, interfaces, new ListeningHistoryManager(engine, recorder));
    }

    @Override
    public Object invoke(Object proxy, Method method, Object[] arguments) throws Throwable {
        // Before, because a deletion leaves nothing to look at.
        recorder.hear(method.getName(), new Arguments(arguments));
        try {
            return method.invoke(engine, arguments);
        } catch (InvocationTargetException exception) {
            throw exception.getCause();
        }
    }
}
