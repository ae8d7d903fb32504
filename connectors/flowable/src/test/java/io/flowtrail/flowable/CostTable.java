package io.flowtrail.flowable;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.DoubleBinaryOperator;
import java.util.function.IntToDoubleFunction;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/** What the jar costs, beside an engine without history and one that writes its own: in rounds, since other work comes and goes. */
final class CostTable {
    private static final Way NOTHING = new Way("off", "none");
    private static final Way OWN = new Way("off", "full");

    private final List<Way> ways = new ArrayList<>();
    private final Map<Way, List<Cost>> costs = new LinkedHashMap<>();

    /** A mode of the jar, and a level of the engine's own history. */
    private record Way(String jar, String history) {}

    private CostTable(List<String> modes) {
        ways.add(NOTHING);
        modes.forEach(mode -> ways.add(new Way(mode, "none")));
        ways.add(OWN);
    }

    /** Prints a row for each of these modes of the jar, and for the engine alone: medians, with the least and the greatest of all rounds. */
    static void print(int instances, int rounds, List<String> modes) throws IOException, InterruptedException {
        CostTable table = new CostTable(modes);
        for (int round = 0; round < rounds; round++) {
            table.measure(instances, round % 2 == 1);
        }
        List<String> head = List.of("jar", "the engine's own history", "instances/s", "÷ off", "÷ full",
                "ms of CPU for an instance", "− off", "all sent after");
        System.out.println("| " + String.join(" | ", head) + " |");
        System.out.println("| --- ".repeat(head.size()) + '|');
        table.ways.forEach(way -> System.out.println(table.row(way)));
    }

    /** Every other round the other way about, so that what grows or falls steadily favours none. */
    private void measure(int instances, boolean isBackwards) throws IOException, InterruptedException {
        List<Way> order = new ArrayList<>(ways);
        if (isBackwards) {
            Collections.reverse(order);
        }
        for (Way way : order) {
            Cost cost = Cost.ofAnother(instances, way.history, way.jar);
            System.err.println(way + ": " + cost);
            costs.computeIfAbsent(way, first -> new ArrayList<>()).add(cost);
        }
    }

    private String row(Way way) {
        return "| " + String.join(" | ", way.jar, way.history,
                spread("%.0f", way, Cost::rate),
                compared("%.2f", way, NOTHING, Cost::rate, (one, other) -> one / other),
                compared("%.2f", way, OWN, Cost::rate, (one, other) -> one / other),
                spread("%.2f", way, Cost::cpu),
                compared("%.2f", way, NOTHING, Cost::cpu, (one, other) -> one - other),
                String.format(Locale.ROOT, "%.1f s", median(way, Cost::after))) + " |";
    }

    private String spread(String format, Way way, ToDoubleFunction<Cost> value) {
        List<Cost> rounds = costs.get(way);
        return spread(format, median(way, value), rounds.size(), round -> value.applyAsDouble(rounds.get(round)));
    }

    /** Of the medians; least and greatest are those of a round. */
    private String compared(
            String format, Way way, Way other, ToDoubleFunction<Cost> value, DoubleBinaryOperator by) {
        List<Cost> these = costs.get(way);
        List<Cost> those = costs.get(other);
        return spread(format, by.applyAsDouble(median(way, value), median(other, value)), these.size(),
                round -> by.applyAsDouble(value.applyAsDouble(these.get(round)), value.applyAsDouble(those.get(round))));
    }

    private static String spread(String format, double middle, int rounds, IntToDoubleFunction ofRound) {
        double[] sorted = IntStream.range(0, rounds).mapToDouble(ofRound).sorted().toArray();
        return String.format(Locale.ROOT, format + " (" + format + "–" + format + ")", middle, sorted[0], sorted[rounds - 1]);
    }

    private double median(Way way, ToDoubleFunction<Cost> value) {
        double[] sorted = costs.get(way).stream().mapToDouble(value).sorted().toArray();
        return (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2;
    }
}
