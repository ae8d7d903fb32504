package io.flowtrail.flowable;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.flowable.engine.ProcessEngine;
import org.flowable.task.api.Task;

/**
 * How fast two threads run instances of one process: each starts, sets a variable, and ends when its user task is completed.
 *
 * @param rate instances in a second
 * @param cpu milliseconds of CPU that the JVM has used for an instance: the engine, its database and the jar
 * @param after seconds until all events were sent once the last instance had ended
 */
record Cost(double rate, double cpu, double after) {
    private static final int THREADS = 2;

    /** Begins the line on which a JVM says what it has measured. */
    private static final String SAYS = "cost ";

    /** Of this JVM, after as many instances to warm up, and as a line for {@link #ofAnother}. */
    static void measure(int instances, String historyLevel) throws InterruptedException {
        ProcessEngine engine = Engine.start(Engine.inMemory("cost"), historyLevel, false);
        run(engine, instances);
        long begun = System.nanoTime();
        long usedBefore = used();
        run(engine, instances);
        long ended = System.nanoTime();
        while (engine.getManagementService().createHistoryJobQuery().count() > 0) {
            Thread.sleep(100);
        }
        engine.close();
        double rate = instances / ((ended - begun) / 1e9);
        System.out.println(SAYS + rate + ' ' + (used() - usedBefore) / 1e6 / instances + ' ' + (System.nanoTime() - ended) / 1e9);
    }

    /** Of a JVM of its own, with the heap and the jar's settings of this one; in another mode, or without the jar. */
    static Cost ofAnother(int instances, String historyLevel, String mode) throws IOException, InterruptedException {
        boolean isOn = !mode.equals("off");
        List<String> command = new ArrayList<>(List.of(System.getProperty("java.home") + "/bin/java"));
        command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(argument -> isOn || !argument.startsWith("-Dflowtrail."))
                .toList());
        if (isOn) {
            command.add("-Dflowtrail.mode=" + mode);
        }
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), Driver.class.getName()));
        command.addAll(List.of("measure", Integer.toString(instances), historyLevel));
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (process.waitFor() != 0 || !said.startsWith(SAYS)) {
            throw new IllegalStateException(command + " has failed: " + said);
        }
        String[] values = said.strip().split(" ");
        return new Cost(Double.parseDouble(values[1]), Double.parseDouble(values[2]), Double.parseDouble(values[3]));
    }

    /** What this JVM has used of its processors, in ns, whatever else goes on. */
    private static long used() {
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
