#!/usr/bin/env bash
# Gets the programs that the files beside are for, without Docker: the OpenTelemetry Collector and Jaeger, built from Go
# modules with the machine's Go, and Prometheus with promtool, from Debian's package. Each is built once and kept in
# ~/.cache/tachograph-engines (or $XDG_CACHE_HOME, or $TACHOGRAPH_ENGINES), under a key of everything it is made from.
#
#   get.sh                    get what is missing, then say where all of them are
#   get.sh --have             get nothing; say where they are, and exit with 1 if one is missing
#   get.sh otelcol jaeger     only these
#
# It says one `name<TAB>path` a line. The first time it needs Go 1.26, twelve minutes of processor time and 6 GB for Go's
# caches; JOBS=4 lets it use more than two processors.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${TACHOGRAPH_ENGINES:-${XDG_CACHE_HOME:-$HOME/.cache}/tachograph-engines}
prometheus_version=2.42.0 # of Debian 12

say() { printf 'get.sh: %s\n' "$*" >&2; }

# What a kept program was made from; another of it is another program.
key() {
  local engine=$1
  case $engine in
    otelcol) cat "$here"/otelcol/{builder.yaml,go.mod,go.sum} ;;
    jaeger) cat "$here"/jaeger/{go.mod,go.sum} ;;
    prometheus) echo "$prometheus_version" ;;
  esac | sha256sum | cut -c1-12
}

with_go() {
  command -v go >/dev/null || { say "Go is not here: install Go 1.26 or later, and have it on the path" && return 1; }
}

build() { # of the main package $2 in the module in the folder $1, to the file $3
  (cd "$1" && GOFLAGS="-p=${JOBS:-2} -buildvcs=false -mod=readonly" GOWORK=off \
    nice go build -trimpath -ldflags='-s -w' -o "$3" "$2")
}

get_otelcol() {
  local builder source=$2/source
  with_go
  builder=go.opentelemetry.io/collector/cmd/builder@$(sed -n 's/^  version: /v/p' "$here/otelcol/builder.yaml")
  mkdir "$source"
  cp "$here"/otelcol/* "$source"
  # The builder writes the program; the versions are those of go.mod and go.sum, and not what it would choose.
  (cd "$source" && go run "$builder" --config builder.yaml --skip-get-modules --skip-compilation >&2)
  build "$source" . "$1/otelcol"
}

get_jaeger() {
  with_go
  build "$here/jaeger" github.com/jaegertracing/jaeger/cmd/jaeger "$1/jaeger"
}

get_prometheus() {
  command -v apt-get >/dev/null || {
    say "no apt-get here: put prometheus and promtool $prometheus_version or later into $3"
    return 1
  }
  (
    cd "$2"
    # Only unpacked: installed, it would start a service. Old lists of packages may name files that are gone.
    apt-get -q -o APT::Sandbox::User=root download prometheus >&2 || { apt-get -q update >&2 && apt-get -q -o APT::Sandbox::User=root download prometheus >&2; }
    dpkg-deb -x prometheus_*.deb .
  )
  mv "$2"/usr/bin/{prometheus,promtool} "$1"
}

programs() {
  case $1 in
    otelcol | jaeger) echo "$1" ;;
    prometheus) echo prometheus promtool ;;
    *) say "no engine is called '$1'; there are otelcol, jaeger and prometheus" && exit 2 ;;
  esac
}

only_look=
if [ "${1:-}" = --have ]; then only_look=1 && shift; fi
[ $# -gt 0 ] || set -- otelcol jaeger prometheus

missing=0
for engine in "$@"; do
  names=$(programs "$engine") || exit 2
  kept=$cache/$engine-$(key "$engine")
  if [ ! -d "$kept" ] && [ -z "$only_look" ]; then
    say "getting $engine"
    SECONDS=0
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/getting-XXXXXX")
    trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
    mkdir "$work/made" "$work/scratch"
    "get_$engine" "$work/made" "$work/scratch" "$kept"
    # In one step, so that nobody meets half of it; whoever else was at it may have been first.
    mv -T "$work/made" "$kept" 2>/dev/null || [ -d "$kept" ]
    rm -rf "$work"
    trap - EXIT
    say "got $engine in $SECONDS s"
  fi
  for name in $names; do
    if [ -x "$kept/$name" ]; then printf '%s\t%s\n' "$name" "$kept/$name"; else missing=1; fi
  done
done
exit $missing
