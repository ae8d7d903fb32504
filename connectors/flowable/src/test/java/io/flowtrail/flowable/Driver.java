package io.flowtrail.flowable;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.flowable.engine.ManagementService;
import org.flowable.engine.ProcessEngine;

/**
 * Runs traffic through a real engine with the jar, whose settings are system properties, and writes down what the engine itself has
 * kept: {@code rounds N FOLDER [DATABASE]}. {@code cost N ROUNDS MODE…} prints what the jar costs N instances, {@code measure N LEVEL} what N
 * instances cost in this JVM at that history level.
 */
public final class Driver {
    private static final Duration PATIENCE = Duration.ofSeconds(90);

    private Driver() {}

    /** The program. */
    public static void main(String[] arguments) {
        try {
            run(arguments);
        } catch (Throwable exception) {
            exception.printStackTrace();
            // The engine's threads would go on.
            Runtime.getRuntime().halt(1);
        }
    }

    private static void run(String[] arguments) throws Exception {
        int count = Integer.parseInt(arguments[1]);
        switch (arguments[0]) {
            case "rounds" -> rounds(count, Path.of(arguments[2]), arguments.length > 3 ? arguments[3] : Engine.inMemory("driver"));
            case "cost" -> CostTable.print(count, Integer.parseInt(arguments[2]), List.of(arguments).subList(3, arguments.length));
            case "measure" -> Cost.measure(count, arguments[2]);
            default -> throw new IllegalArgumentException("what is " + arguments[0] + "?");
        }
    }

    private static void rounds(int rounds, Path folder, String database) throws Exception {
        ProcessEngine engine = Engine.start(database, "full", true);
        Traffic traffic = new Traffic(engine);
        long begun = System.nanoTime();
        for (int round = 0; round < rounds; round++) {
            traffic.round(round);
            System.out.println("round " + round);
        }
        System.out.println("rounds " + rounds + " ms " + (System.nanoTime() - begun) / 1_000_000);
        ManagementService jobs = engine.getManagementService();
        // Timers twice: a job may have failed while it was looked for, and be a timer again.
        await("jobs", () -> jobs.createTimerJobQuery().count() == 0
                && jobs.createJobQuery().count() == 0
                && jobs.createTimerJobQuery().count() == 0);
        await("history jobs", () -> jobs.createHistoryJobQuery().count() == 0);
        Dump.write(database, folder);
        long closing = System.nanoTime();
        engine.close();
        System.out.println("closed ms " + (System.nanoTime() - closing) / 1_000_000);
    }

    private static void await(String what, BooleanSupplier condition) throws InterruptedException {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("there are still " + what);
            }
            Thread.sleep(20);
        }
    }
}
