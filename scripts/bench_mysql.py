#!/usr/bin/env python3
"""The measurements of scripts/bench for MySQL and MariaDB (BENCH_SOURCE), whose own tool is
mysqlbinlog: it copies the events into a file as they come, and looks into none of them."""

import os
import shutil
import subprocess
import time

from bench_common import (ROWS, WORK, Run, chosen, must_hold, report_drain, report_producer, say_end,
                          warm_broker, write_config)

SOURCE = os.environ["BENCH_SOURCE"]
BIN, PORT = os.environ["BENCH_BIN"], os.environ[f"{SOURCE.upper()}_PORT"]
# Neither side encrypts.
PLAIN = {"mysql": "--ssl-mode=DISABLED", "mariadb": "--skip-ssl"}[SOURCE]
LOGIN = ["--no-defaults", "--user=root", "--host=127.0.0.1", f"--port={PORT}", PLAIN]
STATEMENT_ROWS = 1000

COLUMNS = """id bigint primary key, a int not null, b bigint, c text, d varchar(40), e boolean,
    f double, g decimal(12,2), h timestamp(6) null, i char(36)"""
VALUES = """id, id % 1000, id * 37, concat('customer ', id), concat('code-', id % 977), id % 2 = 0,
    id / 7.0, (id % 100000) / 100.0, from_unixtime(1709168523 + id), uuid()"""


def sql(text):
    command = [f"{BIN}/mysql", *LOGIN, "--batch", "--skip-column-names", "bench"]
    return subprocess.run(command, input=text, text=True, check=True, capture_output=True).stdout.strip()


def fill(table, n, per_transaction):
    """Statements of 1000 rows each, so that both servers write the same kind of events."""
    lines = ["set autocommit = 0;"]
    for first in range(0, n, STATEMENT_ROWS):
        lines.append(f"insert into {table} select {VALUES} from "
                     f"(select {first} + n as id from numbers where {first} + n < {n}) i;")
        if (first + STATEMENT_ROWS) % per_transaction == 0:
            lines.append("commit;")
    sql("\n".join([*lines, "commit;"]))


def drain(name, table, n, per_transaction):
    """A backlog read by mysqlbinlog, then by Tailwater."""
    sql(f"create table {table} ({COLUMNS}); flush binary logs")
    source = {"host": "127.0.0.1", "port": int(PORT), "user": "root", "tls": {"mode": "disable"},
              "tables": {"include": [f"bench.{table}"]}}
    path = write_config(name, {SOURCE: source})
    Run(path, "--until", "caught-up").end()
    first_file = sql("show binary logs").splitlines()[-1].split()[0]
    fill(table, n, per_transaction)
    copies = f"{WORK}/copies/"
    os.mkdir(copies)
    begin = time.monotonic()
    subprocess.run([f"{BIN}/mysqlbinlog", *LOGIN, "--read-from-remote-server", "--raw",
                    f"--result-file={copies}", "--to-last-log", first_file], check=True)
    baseline = n / (time.monotonic() - begin)
    shutil.rmtree(copies)
    run = Run(path, "--until", "caught-up").end()
    must_hold(f"{name}.bench.{table}", n)
    sql(f"drop table {table}")
    return baseline, run


def measure_drain():
    baseline, run = drain("bench_drain", "drain", ROWS, 1000)
    report_drain(f"drain of {ROWS} inserts to Kafka as Avro", ROWS, baseline, run, "mysqlbinlog", 0.6)
    report_producer(ROWS)


def measure_transaction():
    n = 2 * ROWS
    baseline, run = drain("bench_large", "large", n, n)
    report_drain(f"one transaction of {n} rows", n, baseline, run, "mysqlbinlog")


subprocess.run([f"{BIN}/mysql", *LOGIN, "-e", "create database bench"], check=True)
sql("create table digits (n int); insert into digits values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);"
    "create table numbers (n int); insert into numbers "
    "select a.n + 10 * b.n + 100 * c.n from digits a, digits b, digits c")
warm_broker()
for measurement in chosen(["drain", "transaction"]):
    globals()[f"measure_{measurement}"]()
say_end()
