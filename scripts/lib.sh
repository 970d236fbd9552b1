# What the scripts share: where things live, which versions, how a server is started and ended.
# Sourced, never run. Nothing here touches a process that it did not start.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${TAILWATER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tailwater}
RUN=${TAILWATER_RUN:-$CACHE/run}

POSTGRES_BIN=${TAILWATER_POSTGRES_BIN:-/usr/lib/postgresql/15/bin}
if [ ! -d "$POSTGRES_BIN" ]; then
  POSTGRES_BIN=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)
fi
KAFKA_VERSION=4.3.1
REGISTRY_VERSION=2.6.13.Final
KAFKA_HOME=$CACHE/kafka-$KAFKA_VERSION
REGISTRY_HOME=$CACHE/apicurio-$REGISTRY_VERSION
# Unpacked Debian packages; `bin/` starts their programs with their own libraries.
MYSQL_HOME=$CACHE/mysql
MARIADB_HOME=$CACHE/mariadb
PYTHON_HOME=$CACHE/python
CONFLUENT_KAFKA="confluent-kafka[avro,schemaregistry]==2.16.*"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# A port that nobody listens on right now. Two callers could still get the same one; servers say so
# in their logs, and the port of a started server is only recorded once it answers.
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  local seconds=$1 what=$2
  shift 2
  local end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
  say "$what is up"
}

# PostgreSQL refuses to run as root: there, its processes belong to the user that its package made.
POSTGRES_USER=()
if [ "$(id -u)" = 0 ]; then
  POSTGRES_USER=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
fi
as_postgres() { (cd / && "${POSTGRES_USER[@]}" "$@"); }

# alive NAME: whether the process of NAME's pid file is still the one that was started.
alive() {
  local pid started
  [ -f "$RUN/$1.pid" ] || return 1
  read -r pid started <"$RUN/$1.pid"
  [ -n "$pid" ] && [ "$(start_time "$pid")" = "$started" ]
}

# When a process began, in clock ticks since boot: tells a process from a later one with its id.
start_time() {
  [ -r "/proc/$1/stat" ] && sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f20
}

# background NAME COMMAND...: starts a server in a session of its own and remembers its id.
background() {
  local name=$1
  shift
  # Descriptors of locks stay here: a server that inherited one would hold it for life.
  (cd / && exec setsid "$@") >>"$RUN/$name.log" 2>&1 </dev/null 9>&- &
  local pid=$!
  printf '%s %s\n' "$pid" "$(start_time "$pid")" >"$RUN/$name.pid"
}

# end NAME SIGNAL SECONDS: asks a server of ours to end, then makes it.
end() {
  local name=$1 signal=$2 seconds=$3 pid started
  if alive "$name"; then
    read -r pid started <"$RUN/$name.pid"
    kill "-$signal" "$pid" 2>/dev/null
    local until=$((SECONDS + seconds))
    while alive "$name" && [ "$SECONDS" -lt "$until" ]; do sleep 0.1; done
    alive "$name" && kill -KILL "$pid" 2>/dev/null
  fi
  rm -f "$RUN/$name.pid"
}
