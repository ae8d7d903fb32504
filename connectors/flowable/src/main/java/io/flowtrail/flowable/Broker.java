package io.flowtrail.flowable;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * The producer, which is made when it is first needed: an engine has to start where Kafka's name is not known yet. What is sent is in
 * all replicas in sync, once, and the records of one flow are in order.
 */
final class Broker implements AutoCloseable {
    /** A record may be as large as flowtrail's topics allow. */
    private static final int LARGEST = 16 << 20;

    private final Settings settings;
    private final Map<String, Object> defaults;
    private KafkaProducer<String, byte[]> producer;
    private boolean isClosed;

    /**
     * @param defaults the producer's properties where the settings say nothing
     */
    Broker(Settings settings, Map<String, Object> defaults) {
        this.settings = settings;
        this.defaults = defaults;
    }

    /** As {@link KafkaProducer#send}; throws also where the producer can't be made. */
    Future<RecordMetadata> send(Outgoing record, Callback done) {
        return producer().send(new ProducerRecord<>(settings.topic(), record.key(), record.value()), done);
    }

    /** Gives the producer up, with what it has not sent; the next record gets a new one. */
    synchronized void renew() {
        if (producer != null) {
            producer.close(Duration.ZERO);
            producer = null;
        }
    }

    /** Ends the producer; what it still has is given up when the time is over. */
    synchronized void close(Duration timeout) {
        isClosed = true;
        if (producer != null) {
            producer.close(timeout);
        }
    }

    @Override
    public void close() {
        close(settings.closeTimeout());
    }

    private synchronized KafkaProducer<String, byte[]> producer() {
        if (isClosed) {
            throw new IllegalStateException("the engine is closed");
        }
        if (producer == null) {
            producer = make();
        }
        return producer;
    }

    /** Names of Kafka's classes, those of login modules for instance, as they are in this jar. */
    private static String asPackaged(String value) {
        // In pieces: whole, it would become what it is replaced with.
        String published = String.join(".", "org", "apache", "kafka", "");
        String packaged = KafkaProducer.class.getPackageName().replace("clients.producer", "");
        return value.replace(published, packaged);
    }

    private KafkaProducer<String, byte[]> make() {
        Map<String, Object> properties = new HashMap<>();
        properties.put(ProducerConfig.CLIENT_ID_CONFIG, "flowtrail-" + settings.source());
        // Short, since each job of an outbox waits for it: with 20 ms they fall behind. After commit the queue has gathered before.
        properties.put(ProducerConfig.LINGER_MS_CONFIG, "5");
        properties.put(ProducerConfig.BATCH_SIZE_CONFIG, "131072");
        properties.put(ProducerConfig.MAX_REQUEST_SIZE_CONFIG, Integer.toString(LARGEST));
        properties.putAll(defaults);
        settings.kafka().forEach((name, value) -> properties.put(name, asPackaged(value)));
        // Not to be had otherwise: the promises rest on them, and the classes for metrics are not in the jar.
        properties.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, settings.bootstrapServers());
        properties.put(ProducerConfig.ACKS_CONFIG, "all");
        properties.put(ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, "true");
        properties.put(ProducerConfig.ENABLE_METRICS_PUSH_CONFIG, "false");
        // Kafka looks its classes up by the thread's loader, which in an application server may be any.
        Thread thread = Thread.currentThread();
        ClassLoader before = thread.getContextClassLoader();
        thread.setContextClassLoader(Broker.class.getClassLoader());
        try {
            return new KafkaProducer<>(properties, new StringSerializer(), new ByteArraySerializer());
        } finally {
            thread.setContextClassLoader(before);
        }
    }
}
