"""Publishes a flow of two steps, of which the second fails. Its id is the first argument.

The topic is $TOPIC, or flow.history; the brokers are $KAFKA_BOOTSTRAP_SERVERS.
"""

import os
import sys

from confluent_kafka import Producer
from google.protobuf.timestamp_pb2 import Timestamp

from flowtrail.history.v1 import history_pb2 as history


def at(millis: int) -> Timestamp:
    """A time of 2026-01-05, so many milliseconds after 10:00 UTC. A runtime has a clock."""
    time = Timestamp()
    time.FromMilliseconds(1_767_607_200_000 + millis)
    return time


def events(instance: str):
    flow = dict(flow_instance_id=instance, app_name="shop", app_version="1.0.0", flow_name="order", host_id="host-1")
    yield history.HistoryEvent(
        flow=history.FlowEvent(
            **flow,
            phase=history.PHASE_OPENED,
            status=history.FLOW_STATUS_STARTED,
            started_at=at(0),
            input=b'{"order":4712}',
        )
    )
    step = dict(flow_instance_id=instance, flow_name="order")
    # A step that is told when it is over is one event; one that takes long is told twice, opened and closed.
    yield history.HistoryEvent(
        step=history.StepEvent(
            **step,
            step_id="0",
            task_name="reserve",
            phase=history.PHASE_CLOSED,
            status=history.STEP_STATUS_COMPLETED,
            started_at=at(10),
            ended_at=at(250),
            output=b'{"reserved":true}',
        )
    )
    pay = dict(**step, step_id="1", task_name="pay", started_at=at(260))
    yield history.HistoryEvent(
        step=history.StepEvent(**pay, phase=history.PHASE_OPENED, status=history.STEP_STATUS_STARTED)
    )
    yield history.HistoryEvent(
        step=history.StepEvent(
            **pay,
            phase=history.PHASE_CLOSED,
            status=history.STEP_STATUS_FAILED,
            ended_at=at(900),
            error=b'{"message":"card declined"}',
        )
    )
    yield history.HistoryEvent(
        flow=history.FlowEvent(
            **flow,
            phase=history.PHASE_CLOSED,
            status=history.FLOW_STATUS_FAILED,
            started_at=at(0),
            ended_at=at(1_000),
            error=b'{"message":"card declined"}',
        )
    )


def main(instance: str) -> None:
    producer = Producer(
        {
            "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            # Once and in order, and only told as done when all replicas in sync have it.
            "enable.idempotence": True,
            # librdkafka would choose another partition than Java's clients do.
            "partitioner": "murmur2_random",
        }
    )
    failures = []
    for event in events(instance):
        producer.produce(
            os.environ.get("TOPIC", "flow.history"),
            key=instance,
            value=event.SerializeToString(),
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
    # What is not delivered by now is lost: say so.
    waiting = producer.flush(30)
    if waiting or failures:
        sys.exit(f"{waiting} events were not delivered, and these failed: {failures}")


main(sys.argv[1])
