package io.flowtrail.flowable;

import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.RetriableException;
import org.flowable.common.engine.api.FlowableException;
import org.flowable.common.engine.impl.interceptor.CommandContext;
import org.flowable.engine.impl.cfg.ProcessEngineConfigurationImpl;
import org.flowable.engine.impl.history.DefaultHistoryManager;
import org.flowable.job.service.HistoryJobHandler;
import org.flowable.job.service.JobServiceConfiguration;
import org.flowable.job.service.impl.persistence.entity.HistoryJobEntity;
import org.flowable.job.service.impl.persistence.entity.HistoryJobEntityManager;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Puts the events of a command into a history job, a row of the engine's database in the transaction of what they tell of; the engine's
 * async history executor sends them, and deletes the row when Kafka has them. So they come at least once, whatever dies in between.
 * A command's events are sent in order, those of different commands in any.
 */
final class Outbox implements Outlet, HistoryJobHandler {
    /** The type of the jobs. */
    static final String TYPE = "flowtrail";

    private static final Logger LOG = LoggerFactory.getLogger(Outbox.class);

    /** How long a job waits for Kafka, holding a transaction open; then it is put back. */
    private static final String WAIT_MS = "20000";

    private final Settings settings;
    private final Counters counters;
    private final Broker broker;
    private JobServiceConfiguration jobs;
    private volatile boolean isAway;

    Outbox(Settings settings, Counters counters) {
        this.settings = settings;
        this.counters = counters;
        broker = new Broker(settings, Map.of(
                ProducerConfig.MAX_BLOCK_MS_CONFIG, WAIT_MS,
                ProducerConfig.REQUEST_TIMEOUT_MS_CONFIG, "10000",
                ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, WAIT_MS));
    }

    /** Has the engine run history jobs, which it does only if it is told before it is set up. */
    void prepare(ProcessEngineConfigurationImpl engine) {
        List<HistoryJobHandler> handlers = new ArrayList<>();
        Collection<HistoryJobHandler> others = engine.getCustomHistoryJobHandlers();
        if (others != null) {
            handlers.addAll(others);
        }
        handlers.add(this);
        engine.setCustomHistoryJobHandlers(handlers);
        if (!engine.isAsyncHistoryEnabled()) {
            // Or 6.8 would write its own history by jobs, too.
            if (engine.getHistoryManager() == null) {
                engine.setHistoryManager(new DefaultHistoryManager(engine));
            }
            engine.setAsyncHistoryEnabled(true);
            engine.setAsyncHistoryExecutorActivate(true);
            engine.setAsyncHistoryExecutorDefaultAsyncJobAcquireWaitTime((int) settings.outboxPoll().toMillis());
        }
    }

    void use(ProcessEngineConfigurationImpl engine) {
        jobs = engine.getJobServiceConfiguration();
    }

    @Override
    public void attend(CommandContext command, Gathered gathered) {
        command.addCloseListener(new CommandEnd() {
            @Override
            public void closing(CommandContext closing) {
                insert(gathered.records());
            }
        });
    }

    /** Unlocked: the engine's own way of scheduling would lock the job here and, the transaction being past its listeners, forget it. */
    private void insert(List<Outgoing> records) {
        HistoryJobEntityManager manager = jobs.getHistoryJobEntityManager();
        HistoryJobEntity job = manager.create();
        job.setJobHandlerType(TYPE);
        // Kafka may be away for long, and a job without retries is put aside.
        job.setRetries(Integer.MAX_VALUE);
        job.setCreateTime(jobs.getClock().getCurrentTime());
        job.setAdvancedJobHandlerConfigurationBytes(OutboxRow.write(records));
        manager.insert(job);
    }

    @Override
    public String getType() {
        return TYPE;
    }

    @Override
    public void execute(HistoryJobEntity job, String configuration, CommandContext command, JobServiceConfiguration ofJob) {
        List<Outgoing> records = OutboxRow.read(job.getAdvancedJobHandlerConfigurationByteArrayRef().getBytes(ofJob.getEngineName()));
        Map<Outgoing, Future<RecordMetadata>> sent = new LinkedHashMap<>();
        for (Outgoing record : records) {
            Future<RecordMetadata> answer = send(record);
            if (answer.isDone()) {
                // Refused before it was sent: the others need not wait as long to hear the same.
                await(record, answer);
            } else {
                sent.put(record, answer);
            }
        }
        sent.forEach(this::await);
        isAway = false;
    }

    private Future<RecordMetadata> send(Outgoing record) {
        try {
            return broker.send(record, null);
        } catch (KafkaException exception) {
            throw putBack(exception);
        }
    }

    private void await(Outgoing record, Future<RecordMetadata> answer) {
        try {
            answer.get();
            counters.sent.increment();
        } catch (InterruptedException exception) {
            Thread.currentThread().interrupt();
            throw new FlowableException("flowtrail was interrupted while it waited for Kafka", exception);
        } catch (ExecutionException exception) {
            if (!(exception.getCause() instanceof RecordTooLargeException tooLarge)) {
                throw putBack(exception.getCause());
            }
            giveUp(record, tooLarge);
        }
    }

    /** It never gets smaller, and would hold the others of its job back for ever. */
    private void giveUp(Outgoing record, RecordTooLargeException exception) {
        counters.failed.increment();
        LOG.error("flowtrail gives up an event of {} with {} bytes: {}", record.key(), record.value().length, exception.getMessage());
    }

    /** By an exception the engine keeps the job, and tries again. */
    private FlowableException putBack(Throwable exception) {
        if (!(exception instanceof RetriableException)) {
            broker.renew();
        }
        if (!isAway) {
            LOG.warn("flowtrail waits for Kafka at {}: {}", settings.bootstrapServers(), exception.toString());
        }
        isAway = true;
        return new FlowableException("flowtrail could not send history, and will try again", exception);
    }

    @Override
    public void close() {
        broker.close();
    }
}
