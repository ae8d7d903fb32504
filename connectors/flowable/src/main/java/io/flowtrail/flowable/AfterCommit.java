package io.flowtrail.flowable;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TimeoutException;
import org.flowable.common.engine.impl.cfg.TransactionContext;
import org.flowable.common.engine.impl.cfg.TransactionState;
import org.flowable.common.engine.impl.context.Context;
import org.flowable.common.engine.impl.interceptor.CommandContext;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Sends events once their transaction has been committed, from a thread of its own. The engine never waits for it: while Kafka is away a
 * bounded queue holds what comes, and then what comes is dropped and counted. What was rolled back is never seen. What waits when the
 * JVM dies is lost.
 */
final class AfterCommit implements Outlet {
    private static final Logger LOG = LoggerFactory.getLogger(AfterCommit.class);

    /** How long the producer may look for a broker before it is asked again, and so how late the end is noticed. */
    private static final Duration ATTEMPT = Duration.ofSeconds(2);

    /** Between two attempts. */
    private static final Duration PAUSE = Duration.ofMillis(500);

    /** Of the sending thread when it has sent everything, so that it sends the events of many commands at once. */
    private static final Duration NAP = Duration.ofMillis(50);

    private final Settings settings;
    private final Counters counters;
    private final SendQueue queue;
    private final Broker broker;
    private final Thread thread;
    /** Of the sending thread: what the producer says before it has taken a record. */
    private Exception refused;
    private volatile boolean isAway;
    private volatile boolean isFull;

    AfterCommit(Settings settings, Counters counters) {
        this.settings = settings;
        this.counters = counters;
        queue = new SendQueue(settings.queueBytes(), settings.queueEvents(), NAP);
        // What the producer has taken is not given up, however long Kafka is away: its memory is bounded, too.
        broker = new Broker(settings, Map.of(
                ProducerConfig.MAX_BLOCK_MS_CONFIG, Long.toString(ATTEMPT.toMillis()),
                ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, Integer.toString(Integer.MAX_VALUE)));
        thread = new Thread(this::run, "flowtrail-" + settings.source());
        thread.setDaemon(true);
        thread.start();
    }

    @Override
    public void attend(CommandContext command, Gathered gathered) {
        TransactionContext transaction = Context.getTransactionContext();
        if (transaction == null) {
            command.addCloseListener(new CommandEnd() {
                @Override
                public void closed(CommandContext closed) {
                    offer(gathered);
                }
            });
        } else {
            transaction.addTransactionListener(TransactionState.COMMITTED, committed -> offer(gathered));
        }
    }

    private void offer(Gathered gathered) {
        List<Outgoing> records = gathered.records();
        // Before it can be sent: what is queued is never less than nothing.
        counters.queued.add(records.size());
        if (!queue.offer(records)) {
            counters.queued.add(-records.size());
            counters.dropped.add(records.size());
            sayFull();
        }
    }

    private void run() {
        try {
            List<Outgoing> records = queue.take();
            while (records != null) {
                for (Outgoing record : records) {
                    send(record);
                }
                records = queue.take();
            }
        } catch (InterruptedException | InterruptException | IllegalStateException closed) {
            LOG.debug("flowtrail gives up what it has not sent", closed);
        }
    }

    /** Until the producer has taken it, or will never take it. */
    private void send(Outgoing record) throws InterruptedException {
        while (true) {
            refused = null;
            try {
                broker.send(record, (metadata, exception) -> done(exception));
            } catch (InterruptException closed) {
                throw closed;
            } catch (KafkaException exception) {
                done(exception);
            }
            if (refused == null) {
                return;
            }
            sayAway(refused);
            if (!(refused instanceof TimeoutException)) {
                // It has not the rights, or has come out of step, and would never do better.
                broker.renew();
            }
            TimeUnit.MILLISECONDS.sleep(PAUSE.toMillis());
        }
    }

    /** Called by the producer's thread when Kafka has answered, and by ours when the producer refuses at once. */
    private void done(Exception exception) {
        boolean isOurs = Thread.currentThread() == thread;
        if (exception != null && isOurs && !(exception instanceof RecordTooLargeException)) {
            refused = exception;
            return;
        }
        counters.queued.decrement();
        if (exception == null) {
            counters.sent.increment();
            isAway = false;
            isFull = false;
        } else {
            counters.failed.increment();
            LOG.warn("flowtrail could not send an event: {}", exception.toString());
        }
    }

    /** Once until Kafka takes something again. */
    private void sayFull() {
        if (!isFull) {
            LOG.warn("flowtrail drops history: the queue is full, and Kafka at {} is away or too slow", settings.bootstrapServers());
        }
        isFull = true;
    }

    private void sayAway(Exception exception) {
        if (!isAway) {
            LOG.warn("flowtrail waits for Kafka at {}: {}", settings.bootstrapServers(), exception.toString());
        }
        isAway = true;
    }

    @Override
    public void close() {
        long deadline = System.nanoTime() + settings.closeTimeout().toNanos();
        queue.close();
        try {
            thread.join(Math.max(1, settings.closeTimeout().toMillis()));
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
        thread.interrupt();
        broker.close(Duration.ofNanos(Math.max(0, deadline - System.nanoTime())));
        queue.clear();
        // What neither Kafka nor the producer's own end has answered for.
        long left = counters.queued.sumThenReset();
        if (left > 0) {
            counters.dropped.add(left);
            LOG.warn("flowtrail has dropped {} events that could not be sent before the engine was closed", left);
        }
    }
}
