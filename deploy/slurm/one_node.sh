#!/bin/sh
# Set up SLURM on this machine alone, from the packages of Debian or Ubuntu, to try a sweep on it:
#
#     sudo deploy/slurm/one_node.sh
#
# It is for containers and test machines: it installs packages, replaces the files of /etc/slurm, and
# starts the daemons without systemd. `scontrol shutdown` stops those of SLURM.
set -eu

DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends \
    slurm-wlm slurmdbd munge mariadb-server

host=$(hostname -s)
cores=$(nproc)
# Less than all, as the system needs some.
megabytes=$(($(awk '/^MemTotal/ {print $2}' /proc/meminfo) / 1024 * 9 / 10))

# Accounting, which a sweep asks for the states of its jobs. root connects to the database by its
# socket, without a password.
cat > /etc/slurm/slurmdbd.conf <<SLURMDBD
AuthType=auth/munge
DbdHost=localhost
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
LogFile=/var/log/slurmdbd.log
PidFile=/run/slurmdbd.pid
SLURMDBD
chmod 600 /etc/slurm/slurmdbd.conf

# No cgroups, which a container may not change. A job that ignores SIGTERM is killed after KillWait
# seconds.
cat > /etc/slurm/slurm.conf <<SLURM
ClusterName=one_node
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
StateSaveLocation=/var/lib/slurm/slurmctld
SlurmdSpoolDir=/var/lib/slurm/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurmctld.log
SlurmdLogFile=/var/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MpiDefault=none
ReturnToService=2
KillWait=5
JobRequeue=1
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores RealMemory=$megabytes State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE State=UP
SLURM

# Wait until a command succeeds, for at most 30 seconds.
wait_for() {
    for _ in $(seq 30); do
        if "$@" > /dev/null 2>&1; then
            return
        fi
        sleep 1
    done
    echo "Expected '$*' to succeed within 30 seconds; see the logs in /var/log/slurm*.log." >&2
    exit 1
}

node_is_idle() {
    sinfo --noheader --format=%t | grep -q idle
}

mkdir -p /run/munge /var/lib/slurm/slurmctld /var/lib/slurm/slurmd
chown munge: /run/munge
pgrep -x munged > /dev/null || runuser -u munge -- munged
service mariadb start
wait_for mysqladmin ping
pgrep -x slurmdbd > /dev/null || slurmdbd
wait_for sacctmgr --noheader list cluster
pgrep -x slurmctld > /dev/null || slurmctld
pgrep -x slurmd > /dev/null || slurmd
wait_for node_is_idle
wait_for sacct
sinfo
