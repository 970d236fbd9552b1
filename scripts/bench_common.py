"""What the measurements of scripts/bench share: a run of Tailwater, and a line of the report.

Every figure of Tailwater stands beside one of the server's own tool on the same data, taken in the
same run. CPU and peak memory are what the kernel accounted to the process (wait4).
"""

import json
import os
import re
import subprocess
import sys
import time

WORK, BINARY = (os.environ[n] for n in ("BENCH_WORK", "BENCH_BINARY"))
KAFKA, REGISTRY = (os.environ[n] for n in ("KAFKA_BOOTSTRAP", "REGISTRY_URL"))
ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
# Key, value and header of one of our records.
RECORD_BYTES = 400
short = []


def chosen(all_of_them):
    """The measurements of one source that BENCH_ONLY leaves."""
    only = os.environ.get("BENCH_ONLY")
    return [name for name in all_of_them if not only or name in only.split(",")]


def write_config(name, source, mode="no_data", sink="kafka"):
    path = f"{WORK}/{name}.yaml"
    sinks = {
        "kafka": {"format": {"avro": {"registry": {"url": REGISTRY}}},
                  "sink": {"kafka": {"bootstrap_servers": [KAFKA],
                                     "topics": {"partitions": 3, "replication_factor": 1}}}},
        "file": {"format": {"json": {}}, "sink": {"file": {"path": f"{WORK}/{name}.jsonl"}}},
    }
    with open(path, "w") as file:
        json.dump({
            "pipeline": name,
            "source": source,
            "snapshot": {"mode": mode},
            **sinks[sink],
            "offsets": {"file": {"path": f"{WORK}/offsets"}},
            "admin": {"listen": "off"},
        }, file)
    return path


class Run:
    """A run of Tailwater to its end: seconds, CPU seconds, peak resident MiB."""

    def __init__(self, path, *args):
        self.begin = time.monotonic()
        self.log = path + ".log"
        self.process = subprocess.Popen([BINARY, "run", "-c", path, *args],
                                        stdout=subprocess.DEVNULL, stderr=open(self.log, "a"))

    def end(self):
        _, status, usage = os.wait4(self.process.pid, 0)
        self.seconds = time.monotonic() - self.begin
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu, self.mib = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
        if self.process.returncode != 0:
            sys.exit(f"tailwater ended with {self.process.returncode}:\n{open(self.log).read()[-3000:]}")
        return self


def report(what, figure, good, target):
    verdict = "SHORT" if not good else "ok" if target else ""
    if not good:
        short.append(what)
    print(f"{what:44} {figure:>44}   {target:>12}  {verdict}", flush=True)


def report_drain(what, n, baseline, run, tool, ratio_min=None):
    """`baseline` is the rate of the server's own tool on the same backlog."""
    rate = n / run.seconds
    report(what, f"{rate / 1000:.1f} k/s, {tool} {baseline / 1000:.1f} k/s: {rate / baseline:.2f}",
           ratio_min is None or rate / baseline >= ratio_min, f">= {ratio_min:.2f}" if ratio_min else "")
    report("CPU of our process", f"{run.cpu / n * 1e6:.2f} µs an event", run.cpu / n <= 4e-6, "<= 4 µs")
    report("peak resident memory", f"{run.mib:.0f} MiB", run.mib <= 96, "<= 96 MiB")


def must_hold(topic, n):
    found = records(topic)
    if found != n:
        sys.exit(f"{found} records of {n} in {topic}")


def records(topic):
    """Records in a topic, by its watermarks."""
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": KAFKA, "group.id": "bench"})
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    total = sum(consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20)[1] for p in partitions)
    consumer.close()
    return total


def warm_broker():
    """A broker that has just begun runs uncompiled code for some seconds: whoever came first would
    pay for it."""
    produce("warm", ROWS)


def report_producer(n):
    """How fast Kafka's own tool fills a topic on this machine with records as large as ours, and
    nothing to read or to encode: what any drain into this broker can be compared with."""
    rate = produce("producer", n)
    report("kafka-producer-perf-test to the same broker", f"{rate / 1000:.1f} k/s", True, "")


def produce(topic, n):
    """`n` records from Kafka's own tool: records a second."""
    from confluent_kafka.admin import AdminClient, NewTopic
    admin = AdminClient({"bootstrap.servers": KAFKA})
    admin.create_topics([NewTopic(topic, 3, 1)])[topic].result()
    out = subprocess.run(
        ["java", "-cp", f"{os.environ['KAFKA_HOME']}/lib/*", "org.apache.kafka.tools.ProducerPerformance",
         "--topic", topic, "--num-records", str(n), "--record-size", str(RECORD_BYTES), "--throughput", "-1",
         "--producer-props", f"bootstrap.servers={KAFKA}", "acks=all", "linger.ms=2", "batch.size=1000000"],
        check=True, capture_output=True, text=True).stdout
    return float(re.findall(r"([\d.]+) records/sec", out)[-1])


def say_end():
    print("short of the target: " + (", ".join(short) or "nothing"), flush=True)
