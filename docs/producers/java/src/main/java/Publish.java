import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import flowtrail.history.v1.History.FlowEvent;
import flowtrail.history.v1.History.FlowStatus;
import flowtrail.history.v1.History.HistoryEvent;
import flowtrail.history.v1.History.Phase;
import flowtrail.history.v1.History.StepEvent;
import flowtrail.history.v1.History.StepStatus;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Publishes a flow of two steps, of which the second fails. Its id is the first argument.
 *
 * <p>The topic is $TOPIC, or flow.history; the brokers are $KAFKA_BOOTSTRAP_SERVERS.
 */
public final class Publish {
    private Publish() {}

    /** A time of 2026-01-05, so many milliseconds after 10:00 UTC. A runtime has a clock. */
    private static Timestamp at(long millis) {
        return Timestamp.newBuilder()
                .setSeconds(1_767_607_200L + millis / 1000)
                .setNanos((int) (millis % 1000) * 1_000_000)
                .build();
    }

    private static HistoryEvent of(FlowEvent.Builder flow) {
        flow.setAppName("shop").setAppVersion("1.0.0").setFlowName("order").setHostId("host-1").setStartedAt(at(0));
        return HistoryEvent.newBuilder().setFlow(flow).build();
    }

    private static HistoryEvent of(StepEvent.Builder step) {
        return HistoryEvent.newBuilder().setStep(step.setFlowName("order")).build();
    }

    private static StepEvent.Builder step(String instance, String id, String task) {
        return StepEvent.newBuilder().setFlowInstanceId(instance).setStepId(id).setTaskName(task);
    }

    private static List<HistoryEvent> events(String instance) {
        ByteString declined = ByteString.copyFromUtf8("{\"message\":\"card declined\"}");
        return List.of(
                of(FlowEvent.newBuilder()
                        .setFlowInstanceId(instance)
                        .setPhase(Phase.PHASE_OPENED)
                        .setStatus(FlowStatus.FLOW_STATUS_STARTED)
                        .setInput(ByteString.copyFromUtf8("{\"order\":4712}"))),
                // A step that is told when it is over is one event; one that takes long is told twice, opened and closed.
                of(step(instance, "0", "reserve")
                        .setPhase(Phase.PHASE_CLOSED)
                        .setStatus(StepStatus.STEP_STATUS_COMPLETED)
                        .setStartedAt(at(10))
                        .setEndedAt(at(250))
                        .setOutput(ByteString.copyFromUtf8("{\"reserved\":true}"))),
                of(step(instance, "1", "pay")
                        .setPhase(Phase.PHASE_OPENED)
                        .setStatus(StepStatus.STEP_STATUS_STARTED)
                        .setStartedAt(at(260))),
                of(step(instance, "1", "pay")
                        .setPhase(Phase.PHASE_CLOSED)
                        .setStatus(StepStatus.STEP_STATUS_FAILED)
                        .setStartedAt(at(260))
                        .setEndedAt(at(900))
                        .setError(declined)),
                of(FlowEvent.newBuilder()
                        .setFlowInstanceId(instance)
                        .setPhase(Phase.PHASE_CLOSED)
                        .setStatus(FlowStatus.FLOW_STATUS_FAILED)
                        .setEndedAt(at(1_000))
                        .setError(declined)));
    }

    public static void main(String[] arguments) throws Exception {
        String instance = arguments[0];
        String topic = System.getenv().getOrDefault("TOPIC", "flow.history");
        // By itself it is idempotent, waits for all replicas in sync, and partitions by murmur2 of the key.
        Map<String, Object> settings =
                Map.of(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("KAFKA_BOOTSTRAP_SERVERS"));
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (HistoryEvent event : events(instance)) {
                sent.add(producer.send(new ProducerRecord<>(topic, instance, event.toByteArray())));
            }
            // Throws if an event was not delivered.
            for (Future<RecordMetadata> delivery : sent) {
                delivery.get();
            }
        }
    }
}
