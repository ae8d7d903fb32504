// Publishes a flow of two steps, of which the second fails. Its id is the first argument.
//
// The topic is $TOPIC, or flow.history; the brokers are $KAFKA_BOOTSTRAP_SERVERS.
package main

import (
	"cmp"
	"context"
	"log"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/publisher/historypb"
)

// at is a time of 2026-01-05, so many milliseconds after 10:00 UTC. A runtime has a clock.
func at(millis int64) *timestamppb.Timestamp {
	return timestamppb.New(time.UnixMilli(1_767_607_200_000 + millis))
}

func flow(event *historypb.FlowEvent) *historypb.HistoryEvent {
	event.AppName, event.AppVersion, event.FlowName, event.HostId = "shop", "1.0.0", "order", "host-1"
	event.StartedAt = at(0)
	return &historypb.HistoryEvent{Event: &historypb.HistoryEvent_Flow{Flow: event}}
}

func step(event *historypb.StepEvent) *historypb.HistoryEvent {
	event.FlowName = "order"
	return &historypb.HistoryEvent{Event: &historypb.HistoryEvent_Step{Step: event}}
}

func events(instance string) []*historypb.HistoryEvent {
	return []*historypb.HistoryEvent{
		flow(&historypb.FlowEvent{
			FlowInstanceId: instance,
			Phase:          historypb.Phase_PHASE_OPENED,
			Status:         historypb.FlowStatus_FLOW_STATUS_STARTED,
			Input:          []byte(`{"order":4712}`),
		}),
		// A step that is told when it is over is one event; one that takes long is told twice, opened and closed.
		step(&historypb.StepEvent{
			FlowInstanceId: instance, StepId: "0", TaskName: "reserve",
			Phase:     historypb.Phase_PHASE_CLOSED,
			Status:    historypb.StepStatus_STEP_STATUS_COMPLETED,
			StartedAt: at(10), EndedAt: at(250),
			Output: []byte(`{"reserved":true}`),
		}),
		step(&historypb.StepEvent{
			FlowInstanceId: instance, StepId: "1", TaskName: "pay",
			Phase:     historypb.Phase_PHASE_OPENED,
			Status:    historypb.StepStatus_STEP_STATUS_STARTED,
			StartedAt: at(260),
		}),
		step(&historypb.StepEvent{
			FlowInstanceId: instance, StepId: "1", TaskName: "pay",
			Phase:     historypb.Phase_PHASE_CLOSED,
			Status:    historypb.StepStatus_STEP_STATUS_FAILED,
			StartedAt: at(260), EndedAt: at(900),
			Error: []byte(`{"message":"card declined"}`),
		}),
		flow(&historypb.FlowEvent{
			FlowInstanceId: instance,
			Phase:          historypb.Phase_PHASE_CLOSED,
			Status:         historypb.FlowStatus_FLOW_STATUS_FAILED,
			EndedAt:        at(1_000),
			Error:          []byte(`{"message":"card declined"}`),
		}),
	}
}

func main() {
	instance := os.Args[1]
	// By itself it is idempotent, waits for all replicas in sync, and chooses partitions as Java's clients do.
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(os.Getenv("KAFKA_BOOTSTRAP_SERVERS"), ",")...))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	topic := cmp.Or(os.Getenv("TOPIC"), "flow.history")
	var records []*kgo.Record
	for _, event := range events(instance) {
		value, err := proto.Marshal(event)
		if err != nil {
			log.Fatal(err)
		}
		records = append(records, &kgo.Record{Topic: topic, Key: []byte(instance), Value: value})
	}
	limit, done := context.WithTimeout(context.Background(), 30*time.Second)
	defer done()
	if err := client.ProduceSync(limit, records...).FirstErr(); err != nil {
		log.Fatal(err)
	}
}
