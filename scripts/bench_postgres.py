#!/usr/bin/env python3
"""PostgreSQL's measurements of scripts/bench, which gives the servers and the binary in the
environment."""

import os
import subprocess
import sys
import threading
import time

from bench_common import (KAFKA, REGISTRY, ROWS, WORK, Run, chosen, must_hold, report, report_drain,
                          report_producer, say_end, warm_broker, write_config)

BIN, PORT = (os.environ[n] for n in ("POSTGRES_BIN", "POSTGRES_PORT"))
RATE, LATENCY_SECONDS = 1000, int(os.environ.get("BENCH_LATENCY_SECONDS", "20"))

COLUMNS = """id bigint primary key, a int not null, b bigint, c text, d varchar(40), e boolean,
    f double precision, g numeric(12,2), h timestamptz, i uuid"""
VALUES = """i, i % 1000, i * 37, 'customer ' || i, 'code-' || i % 977, i % 2 = 0, i / 7.0,
    (i % 100000) / 100.0, '2024-02-29 01:02:03+00'::timestamptz + i * interval '1 s',
    md5(i::text)::uuid"""


def psql(sql, database="bench", **more):
    command = [f"{BIN}/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1",
               "-p", PORT, "-U", "postgres", "-d", database]
    return subprocess.run(command, input=sql, text=True, check=True, capture_output=True, **more).stdout.strip()


def config(name, table, mode="no_data", sink="kafka"):
    return write_config(name, {"postgres": {
        "host": "127.0.0.1", "port": int(PORT), "database": "bench", "user": "postgres",
        "tls": {"mode": "disable"}, "tables": {"include": [f"public.{table}"]}}}, mode, sink)


def fill(table, first, n, per_transaction):
    psql(f"""do $$ begin for n in 0 .. {(n - 1) // per_transaction} loop
        insert into {table} select {VALUES} from generate_series(
            {first}::bigint + n * {per_transaction}, {first} + least((n + 1) * {per_transaction}, {n}) - 1) i;
        commit; end loop; end $$;""")


def drain(name, table, n, per_transaction):
    """A backlog read by pg_recvlogical through a copy of the slot, then by Tailwater."""
    psql(f"create table {table} ({COLUMNS})")
    path = config(name, table)
    Run(path, "--until", "caught-up").end()
    fill(table, 1, n, per_transaction)
    psql(f"checkpoint; select pg_copy_logical_replication_slot('{name}', '{name}_copy')")
    end = psql("select pg_current_wal_flush_lsn()")
    begin = time.monotonic()
    subprocess.run([f"{BIN}/pg_recvlogical", "-h", "127.0.0.1", "-p", PORT, "-U", "postgres", "-d", "bench",
                    "-S", f"{name}_copy", "-o", "proto_version=1", "-o", f"publication_names={name}",
                    "--start", "--no-loop", f"--endpos={end}", "-f", f"{WORK}/received"], check=True)
    baseline = time.monotonic() - begin
    os.remove(f"{WORK}/received")
    psql(f"select pg_drop_replication_slot('{name}_copy')")
    run = Run(path, "--until", "caught-up").end()
    must_hold(f"{name}.public.{table}", n)
    psql(f"select pg_drop_replication_slot('{name}')")
    return n / baseline, run


def measure_drain():
    baseline, run = drain("bench_drain", "drain", ROWS, 1000)
    report_drain(f"drain of {ROWS} inserts to Kafka as Avro", ROWS, baseline, run, "pg_recvlogical", 0.6)
    report_producer(ROWS)


def measure_transaction():
    n = 2 * ROWS
    baseline, run = drain("bench_large", "large", n, n)
    report_drain(f"one transaction of {n} rows", n, baseline, run, "pg_recvlogical")


def measure_snapshot():
    psql(f"create table snap ({COLUMNS})")
    fill("snap", 1, ROWS, 100000)
    psql("vacuum analyze snap")
    begin = time.monotonic()
    with open("/dev/null", "w") as null:
        subprocess.run([f"{BIN}/psql", "-X", "-q", "-h", "127.0.0.1", "-p", PORT, "-U", "postgres", "-d", "bench",
                        "-c", "copy snap to stdout"], stdout=null, check=True)
    copy = time.monotonic() - begin
    run = Run(config("bench_snapshot", "snap", "initial_only")).end()
    must_hold("bench_snapshot.public.snap", ROWS)
    report_snapshot("Kafka as Avro", run, copy, ">= 0.50")
    # Without the broker's share of the machine, for comparison.
    run = Run(config("bench_snapshot_file", "snap", "initial_only", "file")).end()
    with open(f"{WORK}/bench_snapshot_file.jsonl", "rb") as file:
        found = sum(1 for _ in file)
    if found != ROWS:
        sys.exit(f"{found} lines of {ROWS}")
    os.remove(f"{WORK}/bench_snapshot_file.jsonl")
    report_snapshot("a file as JSON", run, copy, "")


def report_snapshot(sink, run, copy, target):
    report(f"snapshot of {ROWS} rows to {sink}",
           f"{ROWS / run.seconds / 1000:.1f} k/s, COPY {ROWS / copy / 1000:.1f} k/s: {copy / run.seconds:.2f}",
           not target or copy / run.seconds >= 0.5, target)
    report("CPU, peak resident memory", f"{run.cpu / ROWS * 1e6:.2f} µs a row, {run.mib:.0f} MiB",
           run.mib <= 96, "<= 96 MiB")


class Watch:
    """A stock consumer that notes when each record of a topic was there for it."""

    def __init__(self, topic):
        from confluent_kafka import Consumer
        from confluent_kafka.schema_registry import SchemaRegistryClient
        from confluent_kafka.schema_registry.avro import AvroDeserializer
        from confluent_kafka.serialization import MessageField, SerializationContext
        self.decode = AvroDeserializer(SchemaRegistryClient({"url": REGISTRY}))
        self.context = SerializationContext(topic, MessageField.VALUE)
        self.consumer = Consumer({"bootstrap.servers": KAFKA, "group.id": f"watch-{time.time()}",
                                  "auto.offset.reset": "earliest", "fetch.wait.max.ms": 10})
        self.consumer.subscribe([topic])
        self.arrived, self.stopped = [], False
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        # One at a time: consume(n) waits until it has n. Decoding waits until the end, so that
        # Python's share of the machine is small.
        while not self.stopped:
            message = self.consumer.poll(0.1)
            if message is not None and message.error() is None and message.value() is not None:
                self.arrived.append((time.time(), message.value()))
        self.consumer.close()

    def stop(self):
        """When each record arrived, and when it was committed."""
        self.stopped = True
        self.thread.join()
        values = ((at, self.decode(value, self.context)) for at, value in self.arrived)
        return [(at, value["source"]["ts_us"] / 1e6) for at, value in values]


def streaming(name, table):
    """Tailwater that streams a table whose topic exists, and a consumer of it."""
    psql(f"create table {table} ({COLUMNS})")
    path = config(name, table)
    Run(path, "--until", "caught-up").end()
    fill(table, 0, 1, 1)
    Run(path, "--until", "caught-up").end()
    watch = Watch(f"{name}.public.{table}")
    while not watch.arrived:
        time.sleep(0.05)
    return path, watch


def measure_latency():
    path, watch = streaming("bench_latency", "paced")
    run = Run(path)
    time.sleep(2)
    script = f"{WORK}/paced.sql"
    with open(script, "w") as file:
        file.write(f"\\set i random(1, 1000000000000)\ninsert into paced select {VALUES} "
                   "from (select :i::bigint as i) s on conflict do nothing\n")
    subprocess.run([f"{BIN}/pgbench", "-n", "-h", "127.0.0.1", "-p", PORT, "-U", "postgres", "-c", "4",
                    "-R", str(RATE), "-T", str(LATENCY_SECONDS), "-f", script, "bench"],
                   check=True, capture_output=True)
    time.sleep(1)
    run.process.terminate()
    run.end()
    delays = sorted((arrived - committed) * 1000 for arrived, committed in watch.stop()[1:])
    # What was committed, not what was asked for: a busy machine may not make the rate.
    committed = int(psql("select count(*) - 1 from paced"))
    if len(delays) != committed:
        sys.exit(f"{len(delays)} records of {committed}")
    made = committed / LATENCY_SECONDS
    at = lambda p: delays[min(len(delays) - 1, int(len(delays) * p))]
    report(f"commit to consumer at {made:.0f} of {RATE} transactions/s",
           f"p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, max {delays[-1]:.0f} ms",
           at(0.99) <= 30 and made >= 0.9 * RATE, "p99 <= 30 ms")


def measure_start():
    path, watch = streaming("bench_start", "first")
    times = []
    for n in range(1, 6):
        psql(f"insert into first select {VALUES} from generate_series({n}, {n}) i")
        before, begin = len(watch.arrived), time.time()
        run = Run(path)
        while len(watch.arrived) == before and run.process.poll() is None and time.time() < begin + 30:
            time.sleep(0.005)
        if len(watch.arrived) == before:
            sys.exit("no first event: " + open(run.log).read()[-3000:])
        times.append(watch.arrived[before][0] - begin)
        run.process.terminate()
        run.end()
    watch.stop()
    times.sort()
    report("start to first event at the consumer", f"median {times[2] * 1000:.0f} ms, max {times[-1] * 1000:.0f} ms",
           times[2] <= 1, "<= 1 s")


psql("create database bench", "postgres")
warm_broker()
for name in chosen(["drain", "transaction", "snapshot", "latency", "start"]):
    globals()[f"measure_{name}"]()
say_end()
