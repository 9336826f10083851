#!/usr/bin/env bash
# A real Apache Kafka 4 broker (KRaft) for tests and for trying noecho: no ZooKeeper, no container, no root.
# Jars and data live under .kafka/ in the work tree; `down` removes the data, `rm -rf .kafka` all of it.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: scripts/kafka.sh COMMAND [ARGS]

  up               start the broker on free loopback ports (nothing to do when it runs); prints host:port
  down             stop it and remove its data
  brokers          print host:port of the running broker; fails when there is none
  run CMD ARGS...  run CMD with KAFKA_BROKERS set: a broker that is there is used and left; else one is started, and stopped afterwards
  classpath        print the class path of Kafka's jars, for a Java client
  topics ARGS...   kafka-topics            (TopicCommand), --bootstrap-server is filled in
  groups ARGS...   kafka-consumer-groups   (ConsumerGroupCommand), likewise
  perf ARGS...     kafka-producer-perf-test (ProducerPerformance), likewise

environment:
  KAFKA_BROKERS    host:port[,host:port]: a broker that is already there, for run, topics, groups, perf
  KAFKA_PIDS       its process ids, where it runs on this machine: a benchmark can tell what it costs. run sets it by itself
  KAFKA_NODES      nodes to start, 1 (default) to 9; replication factor is 3 at most
  KAFKA_HEAP       heap of a node (default 1g)
  KAFKA_DIR        where jars and data go (default .kafka in the work tree)
EOF
}

say() { printf '%s\n' "$*" >&2; }
die() { say "kafka.sh: $*"; exit 1; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$root/scripts/kafka
dir=${KAFKA_DIR:-$root/.kafka}
run=$dir/run # run/brokers, run/N/{pid,server.properties,node.log,data}; there while nodes run
nodes=${KAFKA_NODES:-1}

need_java() {
  local version
  version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1) || true
  [ "${version:-0}" -ge 17 ] ||
    die "Java 17 or newer is needed to run a Kafka broker: install it (Debian: apt-get install openjdk-17-jre-headless; macOS: brew install openjdk), or set KAFKA_BROKERS to a broker that runs."
}

need_maven() {
  command -v mvn >/dev/null ||
    die "Maven is needed once, to get Kafka's jars: install it (Debian: apt-get install maven; macOS: brew install maven), or set KAFKA_BROKERS to a broker that runs."
}

# jars prints the class path; fetches what scripts/kafka/pom.xml names the first time. The folder is named after
# the POM's checksum, so another version is another folder, and it appears by rename, so it is whole or absent.
jars() {
  local libs
  libs=$dir/libs-$(cksum <"$here/pom.xml" | cut -d' ' -f1)
  if [ ! -d "$libs" ]; then
    need_maven
    say "getting Kafka's jars (about 55 MB) ..."
    rm -rf "$libs.part"
    mkdir -p "$dir"
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$libs.part" >&2 ||
      die "Maven could not get Kafka's jars (its output is above): is its repository reachable?"
    mv "$libs.part" "$libs"
  fi
  printf '%s' "$libs/*"
}

# jvm HEAP LEVEL CLASS ARGS...: one class of the jars. Warnings about the JVM's own future are not ours to show.
jvm() {
  local heap=$1 level=$2
  shift 2
  exec java "-Xmx$heap" -Dkafka.log.level="$level" -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$(jars)" "$@"
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# command_of PID prints its command line. A bare Debian has no ps, macOS has no /proc.
command_of() {
  if [ -d /proc/self ]; then
    tr '\0' ' ' <"/proc/$1/cmdline"
  else
    ps -p "$1" -o args=
  fi 2>/dev/null
}

# alive N: node N's process is ours and runs. The command line is compared because process ids are used again.
alive() {
  local pid
  pid=$(cat "$run/$1/pid" 2>/dev/null) || return 1
  command_of "$pid" | grep -qF "kafka.Kafka $run/$1/server.properties"
}

# free_port prints a port nobody listens on, below the range from which clients' ports are drawn: a port from
# that range may be a stranger's outgoing connection by the time the broker binds it.
taken=" "
free_port() {
  local p
  for _ in $(seq 100); do
    p=$((20000 + RANDOM % 10000))
    case $taken in *" $p "*) continue ;; esac
    answers "$p" && continue
    port=$p
    taken+="$p "
    return
  done
  die "no free port found between 20000 and 29999 on 127.0.0.1."
}

configure() {
  local i voters="" brokers="" replicas=$((nodes < 3 ? nodes : 3)) port ports=() cports=()
  for i in $(seq "$nodes"); do
    free_port; ports[i]=$port
    free_port; cports[i]=$port
    voters+=${voters:+,}$i@127.0.0.1:$port
    brokers+=${brokers:+,}127.0.0.1:${ports[i]}
  done
  for i in $(seq "$nodes"); do
    mkdir -p "$run/$i/data"
    sed -e "s|@ID@|$i|; s|@VOTERS@|$voters|; s|@PORT@|${ports[i]}|; s|@CONTROLLER_PORT@|${cports[i]}|; s|@DATA@|$run/$i/data|" \
      -e "s|@REPLICAS@|$replicas|; s|@MIN_ISR@|$((replicas > 1 ? replicas - 1 : 1))|" \
      "$here/server.properties.in" >"$run/$i/server.properties"
  done
  printf '%s\n' "$brokers" >"$run/brokers"
}

start() {
  local i cluster
  need_java
  jars >/dev/null
  rm -rf "$run"
  configure
  cluster=$(jvm 256m WARN kafka.tools.StorageTool random-uuid) || die "Kafka's StorageTool failed (its output is above)."
  for i in $(seq "$nodes"); do
    (jvm 256m WARN kafka.tools.StorageTool format -t "$cluster" -c "$run/$i/server.properties" >"$run/$i/node.log" 2>&1) ||
      die "formatting the storage failed; see $run/$i/node.log"
    (jvm "${KAFKA_HEAP:-1g}" INFO kafka.Kafka "$run/$i/server.properties" </dev/null >>"$run/$i/node.log" 2>&1 & echo $! >"$run/$i/pid")
  done
  wait_ready "$(cat "$run/brokers")"
}

# wait_ready BROKERS: a port that accepts is not yet a broker that serves; the last word is a tool's answer.
wait_ready() {
  local deadline=$((SECONDS + 120)) i b
  for b in ${1//,/ }; do
    until answers "${b##*:}"; do
      sleep 0.2
      for i in $(seq "$nodes"); do
        kill -0 "$(cat "$run/$i/pid")" 2>/dev/null || die "node $i ended while it started; see $run/$i/node.log"
      done
      [ $SECONDS -lt $deadline ] || die "no answer from $b within 120 s; see $run/*/node.log"
    done
  done
  (jvm 256m WARN org.apache.kafka.tools.TopicCommand --bootstrap-server "$1" --list >/dev/null) ||
    die "the broker does not answer; see $run/*/node.log"
}

running() {
  local d
  [ -s "$run/brokers" ] || return 1
  for d in "$run"/[1-9]; do
    alive "${d##*/}" || return 1
  done
}

up() {
  running || { stop; start; }
  cat "$run/brokers"
}

stop() {
  local d pid
  for d in "$run"/[1-9]; do
    alive "${d##*/}" || continue
    pid=$(cat "$d/pid")
    kill "$pid"
    for _ in $(seq 100); do
      kill -0 "$pid" 2>/dev/null || continue 2
      sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null || true
  done
  rm -rf "$run"
}

brokers() {
  if [ -n "${KAFKA_BROKERS:-}" ]; then
    printf '%s\n' "$KAFKA_BROKERS"
  else
    running || die "no broker runs: start one with 'make kafka-up', or set KAFKA_BROKERS."
    cat "$run/brokers"
  fi
}

with_broker() {
  [ $# -gt 0 ] || { usage; exit 2; }
  if [ -z "${KAFKA_BROKERS:-}" ]; then
    running || trap stop EXIT
    KAFKA_BROKERS=$(up)
  fi
  say "broker: $KAFKA_BROKERS"
  if [ -z "${KAFKA_PIDS:-}" ] && running && [ "$KAFKA_BROKERS" = "$(cat "$run/brokers")" ]; then
    export KAFKA_PIDS=$(cat "$run"/[1-9]/pid | tr '\n' ' ')
  fi
  KAFKA_BROKERS=$KAFKA_BROKERS "$@"
}

tool() {
  local class=$1 b
  shift
  b=$(brokers)
  need_java
  jvm 512m WARN "$class" --bootstrap-server "$b" "$@"
}

cmd=${1:-}
[ $# -eq 0 ] || shift
case $cmd in
  up) up ;;
  down) stop ;;
  brokers) brokers ;;
  run) with_broker "$@" ;;
  classpath) jars ;;
  topics) tool org.apache.kafka.tools.TopicCommand "$@" ;;
  groups) tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand "$@" ;;
  perf) tool org.apache.kafka.tools.ProducerPerformance "$@" ;;
  -h | --help | help) usage ;;
  *) usage >&2; exit 2 ;;
esac
