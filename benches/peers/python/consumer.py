"""A consumer of flow events as an experienced hand would write it: COPY to a staging table, then one upsert."""

import gc
import multiprocessing
import os
import signal

import confluent_kafka
import psycopg

import events

# Each was tried; the README beside the folder says what came out.
WORKERS = int(os.environ.get("PEER_WORKERS", "2"))
BATCH = int(os.environ.get("PEER_BATCH", "20000"))
LINGER_SECONDS = 0.1

CONSUMER = {
    "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
    "group.id": os.environ["PEER_GROUP"],
    "auto.offset.reset": "earliest",
    # Offsets follow what Postgres has committed.
    "enable.auto.commit": False,
    # A worker that joins gets its partitions once the others have heard of it, after three seconds by default.
    "heartbeat.interval.ms": 300,
    # A full queue is looked at again after a second by default.
    "fetch.queue.backoff.ms": 10,
    "fetch.wait.max.ms": 100,
    "fetch.message.max.bytes": 1 << 20,
    "queued.max.messages.kbytes": 65_536,
}

MILLISECONDS = "(extract(epoch FROM {1} - {0}) * 1000)::numeric(30, 3)::text"


class Table:
    """A table, its staging table, and the statements between the two."""

    def __init__(self, name, key, types, more):
        self.name = name
        self.types = list(types.values())
        columns = ", ".join(types)
        self.stage = f"CREATE TEMP TABLE stage_{name} ON COMMIT DELETE ROWS AS SELECT {columns} FROM {name} LIMIT 0"
        self.copy = f"COPY stage_{name} ({columns}) FROM STDIN (FORMAT binary)"
        sets = [self.merged(column) for column in types if column not in key]
        sets += [f"{column} = {update}" for column, (_, update) in more.items()]
        self.upsert = (
            f"INSERT INTO {name} AS t ({', '.join([*types, *more])})"
            f" SELECT {', '.join([*types, *(insert for insert, _ in more.values())])} FROM stage_{name} s"
            f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(sets)}"
        )

    @staticmethod
    def merged(column):
        if column == "phase":
            return "phase = greatest(excluded.phase, t.phase)"
        if column == "status":
            return "status = CASE WHEN excluded.phase >= t.phase THEN excluded.status ELSE t.status END"
        return f"{column} = coalesce(excluded.{column}, t.{column})"

    def write(self, cursor, rows):
        with cursor.copy(self.copy) as copy:
            copy.set_types(self.types)
            for row in rows:
                copy.write_row(row)
        cursor.execute(self.upsert)


def tables():
    time = MILLISECONDS.format("s.starttime", "s.endtime")
    merged = MILLISECONDS.format(
        "coalesce(excluded.starttime, t.starttime)", "coalesce(excluded.endtime, t.endtime)"
    )
    of_flow = {"executiontime": (time, merged), "reruncount": ("0", "t.reruncount")}
    return (
        Table("steps", events.STEP_KEY, events.STEP_TYPES, {}),
        Table("flowstate", events.FLOW_KEY, events.FLOW_TYPES, of_flow),
    )


def work():
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Rows and events make no cycles, and looking for some among a batch's rows takes a tenth of the time.
    gc.disable()
    decode = events.history_event().FromString
    steps, flows = tables()
    consumer = confluent_kafka.Consumer(CONSUMER)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        for table in (steps, flows):
            connection.execute(table.stage)
        consumer.subscribe([os.environ["PEER_TOPIC"]])
        while not stop:
            messages = consumer.consume(BATCH, LINGER_SECONDS)
            if messages:
                write(connection, steps, flows, decode, messages)
                consumer.commit(asynchronous=True)
    consumer.close()


def write(connection, steps, flows, decode, messages):
    step_rows, flow_rows = {}, {}
    for message in messages:
        if message.error():
            raise confluent_kafka.KafkaException(message.error())
        event = decode(message.value())
        # Other kinds of events are not for these two tables.
        if event.HasField("step"):
            row = events.step_row(event.step)
            events.fold(step_rows, row[:2], row)
        elif event.HasField("flow"):
            row = events.flow_row(event.flow)
            events.fold(flow_rows, row[0], row)
    with connection.transaction(), connection.cursor() as cursor:
        steps.write(cursor, step_rows.values())
        flows.write(cursor, flow_rows.values())


def main():
    workers = [multiprocessing.Process(target=work) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    signal.signal(signal.SIGTERM, lambda *_: [worker.terminate() for worker in workers])
    for worker in workers:
        worker.join()
    raise SystemExit(max(worker.exitcode for worker in workers) != 0)


if __name__ == "__main__":
    main()
