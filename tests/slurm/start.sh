#!/usr/bin/env bash
# A SLURM of one node, or of several on one machine, for tests, with a configuration, a key and a socket of its own in
# a folder, so that a SLURM that is there already is left alone. The folder's path must be short: sockets are in it.
# Needs root and Debian's packages slurm-wlm and munge.
#
#   start.sh FOLDER [NODES]    starts munged, slurmctld and slurmd; prints the line that points a shell at them
#   start.sh stop FOLDER       cancels the jobs and ends just those
set -euo pipefail

if [ "$1" = stop ]; then
  folder=$(realpath "$2")
  export SLURM_CONF="$folder/slurm.conf"
  scancel --state=RUNNING,PENDING -u "$(id -un)" 2>/dev/null || true
  for _ in $(seq 50); do [ -n "$(squeue -h 2>/dev/null)" ] || break; sleep 0.2; done
  for file in "$folder"/slurmd.*.pid "$folder/slurmctld.pid" "$folder/munged.pid"; do
    if [ -f "$file" ]; then
      pid=$(cat "$file")
      kill "$pid" 2>/dev/null || true
      for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    fi
  done
  exit 0
fi

mkdir -p "$1"
folder=$(realpath "$1")
nodes=${2:-1}
mkdir -p "$folder/ctld"
host=$(hostname -s)
ports=$(python3 -c 'import socket, sys
sockets = [socket.socket() for _ in range(1 + int(sys.argv[1]))]
for one in sockets: one.bind(("", 0))
print(*(one.getsockname()[1] for one in sockets))' "$nodes")
read -r controller daemons <<< "$ports"

cat > "$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host
SlurmctldPort=$controller
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# a requeued job may start again after the time for which credentials last: two minutes, unless told otherwise
AuthInfo=socket=$folder/munge.socket,cred_expire=5
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
StateSaveLocation=$folder/ctld
SlurmdSpoolDir=$folder/d.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=100000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
KillWait=2
JobRequeue=1
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
names=()
for port in $daemons; do
  names+=("node$port")
  mkdir -p "$folder/d.node$port"
  echo "NodeName=node$port NodeHostname=$host Port=$port CPUs=$(nproc --all) RealMemory=4000 State=UNKNOWN" \
    >> "$folder/slurm.conf"
done

dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 status=none
chmod 600 "$folder/munge.key"
munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
  --seed-file="$folder/munge.seed" --log-file="$folder/munge.log" >/dev/null 2>&1
export SLURM_CONF="$folder/slurm.conf"
slurmctld
for name in "${names[@]}"; do slurmd -N "$name"; done
for _ in $(seq 100); do
  if [ "$(sinfo -h -N -o %T 2>/dev/null | grep -c idle)" = "$nodes" ]; then
    echo "export SLURM_CONF=$folder/slurm.conf"
    exit 0
  fi
  sleep 0.2
done
echo "error: the node did not become idle; see $folder/*.log" >&2
exit 1
