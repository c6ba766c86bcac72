#!/bin/sh
# Start a Ray cluster on this machine, to try a sweep on it: a head node without cores, and some
# nodes with one core each. Each node has a network address, a host name and a /tmp of its own, and
# sees nothing of the folder of the runs.
#
#     sudo deploy/ray/nodes.sh start 2    # prints the address of the cluster
#     sudo deploy/ray/nodes.sh kill 1     # node 1 fails
#     sudo deploy/ray/nodes.sh stop
#
# It needs Linux, root, iproute2, and `ray` in .venv: .venv/bin/pip install '.[ray]'
set -eu

project=$(cd "$(dirname "$0")/../.." && pwd)
ray=${RAY:-$project/.venv/bin/ray}
state=/run/unrolled-ray
net=10.87.0
bridge=unrolled0
export RAY_AUTH_MODE=disabled RAY_DISABLE_IMPORT_WARNING=1

in_node() {  # <number> <command ...>: in the network, with the files and the name of a node
    number=$1
    shift
    ip netns exec "unrolled$number" unshare --mount --uts setsid sh -c '
        hostname "node-$0"
        mount -t tmpfs tmpfs /tmp
        mkdir -p "$1/outputs" && mount -t tmpfs tmpfs "$1/outputs"
        shift
        exec "$@"' "$number" "$project" "$@" > "$state/$number.log" 2>&1 &
    echo $! > "$state/$number.pid"
}

start() {
    mkdir -p "$state"
    ip link add "$bridge" type bridge
    ip address add "$net.254/24" dev "$bridge"
    ip link set "$bridge" up
    for number in $(seq 0 "$1"); do
        ip netns add "unrolled$number"
        ip link add "unrolled-$number" type veth peer name eth0 netns "unrolled$number"
        ip link set "unrolled-$number" master "$bridge" up
        ip -n "unrolled$number" address add "$net.$((number + 1))/24" dev eth0
        ip -n "unrolled$number" route add default via "$net.254" dev eth0 2> /dev/null || true
        ip -n "unrolled$number" link set eth0 up
        ip -n "unrolled$number" link set lo up
    done
    in_node 0 "$ray" start --head --block --node-ip-address="$net.1" --port=6379 --num-cpus=0 \
        --include-dashboard=false --disable-usage-stats
    sleep 15
    for number in $(seq 1 "$1"); do
        in_node "$number" "$ray" start --block --address="$net.1:6379" \
            --node-ip-address="$net.$((number + 1))" --num-cpus=1
    done
    echo "$net.1:6379"
}

kill_node() {
    pkill -KILL --session "$(cat "$state/$1.pid")" || true
    ip netns pids "unrolled$1" | xargs -r kill -KILL
}

stop() {
    for pid in "$state"/*.pid; do
        number=$(basename "$pid" .pid)
        kill_node "$number"
        ip netns delete "unrolled$number"
    done
    ip link delete "$bridge"
    rm -r "$state"
}

case ${1:-} in
    start) start "${2:-2}" ;;
    kill) kill_node "$2" ;;
    stop) stop ;;
    *) sed -n '2,11p' "$0" >&2; exit 2 ;;
esac
