#!/bin/bash
# cluster.sh up api DIR     etcd and kube-apiserver on loopback: no root needed, ready in about 5 s
# cluster.sh up node DIR    the same with controller manager, scheduler, containerd and kubelet: root, cgroup v1, 15 s
# cluster.sh start NAME DIR  start one of the processes again that `up` had started (etcd apiserver kcm sched kubelet)
# cluster.sh down DIR       end what `up` started in DIR and remove it
#
# Everything lives in DIR and is thrown away. DIR/kubeconfig is an administrator's; DIR/NAME.pid, DIR/NAME.log and
# DIR/NAME.sh (its command) belong to each process. The token `viewer-token` is a user without any rights.
#
#   K8S_CACHE   where tools/k8s/build.sh put the binaries
#   IMAGES      image archives for the node to import (see images.py)
#   API_PORT    port of the API server (default: a free one; etcd always takes free ones)
#   API_ARGS    more arguments for the API server
#   LOCK_WAIT_S how long to wait for another node on this machine to end (default 600)
set -euo pipefail
usage() { sed -n '2,6p' "$0" >&2; exit 2; }
bin=${K8S_CACHE:-$HOME/.cache/edgesched/k8s-1.20.2}

free_ports() { # COUNT   below those that outgoing connections take: a process that starts again needs its port
  python3 - "$1" <<'PY'
import contextlib, random, socket, sys
taken = []
while len(taken) < int(sys.argv[1]):
    with contextlib.suppress(OSError):
        taken.append(socket.create_server(("127.0.0.1", random.randrange(15000, 32000))))
print(*[sock.getsockname()[1] for sock in taken])
PY
}

await() { # SECONDS COMMAND...
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $end ]; then
      echo "cluster.sh: timed out waiting for: $*; last lines of the logs:" >&2
      tail -n 3 "$dir"/*.log >&2 || true
      return 1
    fi
    sleep 0.1
  done
}

keep() { # NAME COMMAND...   write the command down, so that `start` can run it again
  local name=$1; shift
  { echo '#!/bin/bash'; printf 'exec'; printf ' %q' "$@"; echo; } >"$dir/$name.sh"
  chmod 700 "$dir/$name.sh"
}

start() { # NAME
  [ -f "$dir/$1.sh" ] || { echo "cluster.sh: no process $1 in $dir" >&2; exit 2; }
  if [ "$1" = containerd ]; then # it keeps the lock of the node tier (descriptor 9) while it lives
    setsid "$dir/$1.sh" >>"$dir/$1.log" 2>&1 </dev/null &
  else
    setsid "$dir/$1.sh" >>"$dir/$1.log" 2>&1 </dev/null 9>&- &
  fi
  echo $! >"$dir/$1.pid"
}

api() { curl -sf --cacert "$dir/pki/apiserver.crt" -m 2 -H "Authorization: Bearer $token" "https://127.0.0.1:$port$1"; }
api_ready() { [ "$(api /readyz)" = ok ]; }
node_ready() { api /api/v1/nodes/localhost | tr -d ' \n' | grep -q '"reason":"KubeletReady"'; }
account_ready() { api /api/v1/namespaces/default/serviceaccounts/default | grep -q '"secrets"'; }
containerd_ready() { ctr -a "$dir/cri/containerd.sock" version; }

up_api() { # MORE_ARGUMENTS...
  local client peer
  read -r client peer port < <(free_ports 3)
  port=${API_PORT:-$port}
  token=$(openssl rand -hex 16)
  mkdir -p "$dir/pki"
  openssl genrsa -out "$dir/pki/sa.key" 2048 2>/dev/null
  openssl rsa -in "$dir/pki/sa.key" -pubout -out "$dir/pki/sa.pub" 2>/dev/null
  printf '%s\n' "$token,admin,admin,system:masters" "viewer-token,viewer,viewer,system:authenticated" >"$dir/tokens.csv"
  echo "$port" >"$dir/port"
  echo "$client" >"$dir/etcd.port"
  cat >"$dir/kubeconfig" <<CONF
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1:$port", certificate-authority: "$dir/pki/apiserver.crt"}}]
users: [{name: admin, user: {token: "$token"}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
CONF
  chmod 600 "$dir/kubeconfig" "$dir/tokens.csv"
  keep etcd etcd --data-dir "$dir/etcd" --unsafe-no-fsync \
    --listen-client-urls "http://127.0.0.1:$client" --advertise-client-urls "http://127.0.0.1:$client" \
    --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
    --initial-cluster "default=http://127.0.0.1:$peer"
  # shellcheck disable=SC2086  # API_ARGS is a list
  keep apiserver "$bin/kube-apiserver" --etcd-servers="http://127.0.0.1:$client" --cert-dir="$dir/pki" \
    --bind-address=127.0.0.1 --secure-port="$port" --endpoint-reconciler-type=none --allow-privileged=true \
    --authorization-mode=RBAC --token-auth-file="$dir/tokens.csv" --service-cluster-ip-range=10.99.0.0/24 \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$dir/pki/sa.pub" \
    --service-account-signing-key-file="$dir/pki/sa.key" --kubelet-preferred-address-types=Hostname "$@" ${API_ARGS:-}
  start etcd
  start apiserver
  await 90 api_ready
}

up_node() {
  local kubelet_port bridge=es$$ net=$(($$ % 250))
  read -r kubelet_port < <(free_ports 1)
  mkdir -p "$dir/cri/cni" "$dir/kubelet"
  echo "$bridge" >"$dir/bridge"
  keep kcm "$bin/kube-controller-manager" --kubeconfig "$dir/kubeconfig" --leader-elect=false --port 0 --secure-port 0 \
    --service-account-private-key-file "$dir/pki/sa.key" --root-ca-file "$dir/pki/apiserver.crt" \
    --node-monitor-grace-period=12s --node-monitor-period=2s --pod-eviction-timeout=10s
  keep sched "$bin/kube-scheduler" --kubeconfig "$dir/kubeconfig" --leader-elect=false --port 0 --secure-port 0
  cat >"$dir/cri/config.toml" <<CONF
version = 2
root = "$dir/cri/root"
state = "$dir/cri/state"
[grpc]
  address = "$dir/cri/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/edgesched/pause:1"
  # root in a container may lack CAP_SYS_RESOURCE
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/cri/cni"
CONF
  cat >"$dir/cri/cni/10-bridge.conflist" <<CONF
{"cniVersion": "0.4.0", "name": "edgesched", "plugins": [{"type": "bridge", "bridge": "$bridge", "isGateway": true,
 "ipMasq": false, "ipam": {"type": "host-local", "dataDir": "$dir/cri/ipam",
 "ranges": [[{"subnet": "10.77.$net.0/24"}]]}}]}
CONF
  keep containerd containerd -c "$dir/cri/config.toml"
  # logs and exec reach the kubelet as `localhost`, so the node has that name
  cat >"$dir/kubelet/config.yaml" <<CONF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: $kubelet_port
healthzPort: 0
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
enforceNodeAllocatable: []
failSwapOn: false
makeIPTablesUtilChains: false
oomScoreAdj: 0
evictionHard: {memory.available: "100Mi", nodefs.available: "1%", imagefs.available: "1%"}
syncFrequency: 1s
nodeStatusUpdateFrequency: 2s
resolvConf: ""
volumePluginDir: $dir/kubelet/plugins
CONF
  keep kubelet "$bin/kubelet" --config "$dir/kubelet/config.yaml" --kubeconfig "$dir/kubeconfig" \
    --root-dir "$dir/kubelet/root" --cert-dir "$dir/kubelet/pki" --hostname-override localhost \
    --container-runtime remote --container-runtime-endpoint "unix://$dir/cri/containerd.sock" \
    --node-labels zone=core,resource.gpu=false
  start containerd
  start kcm
  start sched
  await 30 containerd_ready
  for image in ${IMAGES:-}; do ctr -a "$dir/cri/containerd.sock" -n k8s.io images import "$image" >/dev/null; done
  start kubelet
  await 90 node_ready
  await 60 account_ready
}

running() { # NAME   its process id, if that is still the process that we started
  local pid
  pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$dir" || return 1
  echo "$pid"
}

end() { # SIGNAL NAME...   the data is thrown away, so nothing needs to stop gracefully
  local signal=$1 name pid; shift
  for name in "$@"; do
    pid=$(running "$name") || continue
    kill -CONT "$pid" 2>/dev/null || true
    kill "-$signal" "$pid" 2>/dev/null || true
    for _ in $(seq 50); do running "$name" >/dev/null && sleep 0.1 || break; done
  done
}

remove_pods() {
  local ctr="ctr -a $dir/cri/containerd.sock -n k8s.io" spaces task container
  spaces=$(for container in $($ctr containers ls -q); do $ctr containers info "$container"; done 2>/dev/null |
    grep -o '/netns/cni-[0-9a-f-]*' | sort -u | sed 's#/netns/##' || true)
  for task in $($ctr tasks ls -q); do $ctr tasks kill -s KILL "$task" || true; done
  for _ in $(seq 50); do $ctr tasks ls | grep -q RUNNING && sleep 0.1 || break; done
  for container in $($ctr containers ls -q); do $ctr containers rm "$container" || true; done
  end TERM containerd
  for space in $spaces; do ip netns del "$space" || true; done
  ip link del "$(cat "$dir/bridge")" || true
}

down() {
  [ -d "$dir" ] || return 0
  end KILL kubelet sched kcm apiserver etcd
  if running containerd >/dev/null; then remove_pods >/dev/null 2>&1 || true; fi
  end KILL containerd
  awk -v prefix="$dir/" 'index($2, prefix) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r -n1 umount -l || true
  rm -rf "$dir"
}

needs() { # COMPONENT...
  local component
  for component in "$@"; do
    [ -x "$bin/$component" ] || { echo "cluster.sh: $bin/$component is missing; run: tools/k8s/build.sh $*" >&2; exit 1; }
  done
}

[ $# -ge 2 ] || usage
dir=$(realpath -m "${!#}")
case $1 in
  up)
    [ $# -eq 3 ] || usage
    [ ! -e "$dir/kubeconfig" ] || { echo "cluster.sh: $dir is in use; run: cluster.sh down $dir" >&2; exit 1; }
    mkdir -p "$dir"
    case $2 in
      api)
        needs kube-apiserver
        # no controller manager makes tokens here, so pods must do without
        up_api --disable-admission-plugins=ServiceAccount ;;
      node)
        needs kube-apiserver kube-controller-manager kube-scheduler kubelet
        [ "$(id -u)" -eq 0 ] || { echo "cluster.sh: a node needs root" >&2; exit 1; }
        [ -d /sys/fs/cgroup/memory ] || { echo "cluster.sh: a node needs cgroup v1" >&2; exit 1; }
        # kubelets share the cgroup tree of the machine and clean it up: one node at a time
        exec 9>>/tmp/edgesched-node.lock
        flock -w "${LOCK_WAIT_S:-600}" 9 || {
          echo "cluster.sh: another node is up on this machine; it ends with: cluster.sh down $(</tmp/edgesched-node.lock)" >&2
          exit 1
        }
        echo "$dir" >/tmp/edgesched-node.lock
        up_api
        up_node ;;
      *) usage ;;
    esac ;;
  start) [ $# -eq 3 ] || usage; start "$2" ;;
  down) [ $# -eq 2 ] || usage; down ;;
  *) usage ;;
esac
