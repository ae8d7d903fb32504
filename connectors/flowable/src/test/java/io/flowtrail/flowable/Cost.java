package io.flowtrail.flowable;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.flowable.engine.ProcessEngine;
import org.flowable.task.api.Task;

/** How fast two threads run instances of one process: each starts, sets a variable, and ends when its user task is completed. */
final class Cost {
    private static final int THREADS = 2;

    private Cost() {}

    static void measure(String historyLevel, int instances) throws InterruptedException {
        ProcessEngine engine = Engine.start(Engine.inMemory("cost"), historyLevel, false);
        run(engine, instances / 2);
        long begun = System.nanoTime();
        long cpu = cpu();
        run(engine, instances);
        double seconds = (System.nanoTime() - begun) / 1e9;
        System.out.printf("%.0f instances/s%n", instances / seconds);
        while (engine.getManagementService().createHistoryJobQuery().count() > 0) {
            Thread.sleep(100);
        }
        engine.close();
        System.out.printf("everything sent after %.1f s more%n", (System.nanoTime() - begun) / 1e9 - seconds);
        System.out.printf("%.2f ms of CPU each%n", (cpu() - cpu) / 1e6 / instances);
    }

    /** What this JVM has used of its processors, in ns: the engine, its database and the jar, whatever else goes on. */
    private static long cpu() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    private static void run(ProcessEngine engine, int instances) throws InterruptedException {
        ExecutorService threads = Executors.newFixedThreadPool(THREADS);
        for (int number = 0; number < instances; number++) {
            int amount = number % 20;
            threads.execute(() -> instance(engine, amount));
        }
        threads.shutdown();
        if (!threads.awaitTermination(10, TimeUnit.MINUTES)) {
            throw new IllegalStateException("this takes too long");
        }
    }

    private static void instance(ProcessEngine engine, int amount) {
        String id = engine.getRuntimeService().startProcessInstanceByKey("straight", Map.of("amount", amount)).getId();
        Task check = engine.getTaskService().createTaskQuery().processInstanceId(id).singleResult();
        engine.getTaskService().complete(check.getId(), Map.of("checked", true));
    }
}
