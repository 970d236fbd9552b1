#!/usr/bin/env python3
"""Reads change events as any consumer would, and prints one line each and a summary.

    consume.py kafka --bootstrap HOST:PORT --registry URL --prefix NAME [--seconds N] [--while PID]
    consume.py lines [--seconds N]      JSON lines from standard input

`kafka` is a stock consumer: confluent-kafka with its AvroDeserializer and the schema registry;
nothing of Tailwater is known to it. Ends with 1 unless inserts, updates and deletes were seen.
"""

import argparse
import json
import os
import signal
import sys
import time
from datetime import date, datetime, time as clock
from decimal import Decimal


class Summary:
    def __init__(self, lines_per_second):
        self.ops, self.latencies, self.tables = {}, [], {}
        self.lines_per_second, self.window, self.shown = lines_per_second, 0, 0
        self.first = self.last = None

    def take(self, topic, key, value):
        now = time.time()
        self.first, self.last = self.first or now, now
        if value is None:
            op = "tombstone"
        else:
            op = value["op"]
            source = value["source"]
            if source.get("snapshot") == "false" and source.get("ts_us"):
                self.latencies.append(now * 1e3 - source["ts_us"] / 1e3)
        self.ops[op] = self.ops.get(op, 0) + 1
        self.tables[topic] = self.tables.get(topic, 0) + 1
        if int(now) != self.window:
            self.window, self.shown = int(now), 0
        # A terminal is for people: every kind of event always, the rest up to a rate.
        if self.shown < self.lines_per_second or self.ops[op] <= 3:
            self.shown += 1
            print(line(op, topic, key, value), flush=True)

    def print(self):
        total = sum(self.ops.values())
        seconds = max((self.last or 0) - (self.first or 0), 0.001)
        print(f"\n{total} events in {seconds:.1f} s ({total / seconds:.0f}/s)")
        names = {"r": "snapshot", "c": "inserts", "u": "updates", "d": "deletes", "t": "truncates"}
        print("  " + ", ".join(f"{n} {names.get(op, op + 's')}" for op, n in self.ops.items()))
        for topic, count in sorted(self.tables.items()):
            print(f"  {count:8} {topic}")
        if self.latencies:
            ordered = sorted(self.latencies)
            at = lambda p: ordered[min(len(ordered) - 1, int(len(ordered) * p))]
            print(f"  commit to consumer: p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms")
        missing = [names[op] for op in "cud" if op not in self.ops]
        if missing:
            print(f"not seen: {', '.join(missing)}", file=sys.stderr)
        return 1 if missing else 0


def plain(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (Decimal, date, datetime, clock)):
        return str(value)
    raise TypeError(type(value))


def line(op, topic, key, value):
    def show(part):
        return json.dumps(part, default=plain, ensure_ascii=False, separators=(",", ":"))

    text = f"{op:9} {topic} {show(key)}"
    if value is not None:
        for side in ("before", "after"):
            if value.get(side) is not None:
                text += f" {side}={show(value[side])}"
    return text if len(text) <= 300 else text[:299] + "…"


def kafka(args, summary, stop):
    from confluent_kafka import Consumer, KafkaError
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroDeserializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    decode = AvroDeserializer(SchemaRegistryClient({"url": args.registry}))
    consumer = Consumer({
        "bootstrap.servers": args.bootstrap, "group.id": f"consume-{time.time()}",
        "auto.offset.reset": "earliest", "topic.metadata.refresh.interval.ms": 500,
        "fetch.wait.max.ms": 5, "log_level": 3,
    })
    consumer.subscribe([f"^{args.prefix}\\..*"])
    while not stop():
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            # No topic matches the pattern until the first record of the snapshot.
            missing = message.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART
            if missing or message.error().retriable():
                continue
            raise SystemExit(f"consume: {message.error()}")
        topic = message.topic()
        key = decode(message.key(), SerializationContext(topic, MessageField.KEY))
        value = message.value()
        if value is not None:
            value = decode(value, SerializationContext(topic, MessageField.VALUE))
        summary.take(topic, key, value)
    consumer.close()


def lines(_args, summary, stop):
    try:
        for text in sys.stdin:
            record = json.loads(text)
            summary.take(record["topic"], record["key"], record["value"])
            if stop():
                break
    except TimeoutError:
        pass


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("source", choices=["kafka", "lines"])
    parser.add_argument("--bootstrap")
    parser.add_argument("--registry")
    parser.add_argument("--prefix")
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--while", dest="pid", type=int, help="end when this process is gone")
    parser.add_argument("--lines-per-second", type=int, default=20)
    args = parser.parse_args()
    summary, end = Summary(args.lines_per_second), time.time() + args.seconds
    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.append(True))
    if args.source == "lines" and args.seconds:
        # A line that never comes would be waited for otherwise.
        def late(*_):
            raise TimeoutError

        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, args.seconds)
    over = lambda: (stopped or (args.seconds and time.time() >= end)
                    or (args.pid and not os.path.exists(f"/proc/{args.pid}")))
    (kafka if args.source == "kafka" else lines)(args, summary, over)
    sys.exit(summary.print())


main()
