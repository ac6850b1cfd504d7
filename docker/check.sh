#!/usr/bin/env bash
# Builds the image and runs the job in it, without a Docker engine: Debian's buildah on a base made by debootstrap.
#
#   make docker-check
#
# Run as root on Debian or Ubuntu; needs about 20 GB of disk with torch's CUDA build. It checks the cpu target; gpu
# differs in the index that torch comes from. Variables:
#   BASE         an image to build on, instead of a new one by debootstrap
#   SUITE        of debootstrap; default: this machine's
#   MIRROR       of debootstrap; default: this machine's
#   TORCH_INDEX  where pip finds torch; default: empty, pip's usual index
#   PIP_CONF     pip.conf for the build; default: as pip is configured on this machine
#   WHEELS       folder of wheels for the build
#   ISOLATION    of running containers: oci, or chroot, where signals do not meet a process 1
#   WORK         folder for images, kept for the next time; default: a temporary one
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }
ok() { printf 'ok: %s\n' "$*"; }
# expect WHAT COMMAND…
expect() {
    local what=$1
    shift
    "$@" || fail "not so: $what"
    ok "$what"
}
fail() {
    printf 'docker-check: %s\n' "$*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "must run as root (debootstrap and mounts), got user $(id -un); give: sudo make docker-check"
missing=()
for tool in buildah debootstrap runc; do
    [ "$tool" = debootstrap ] && [ -n "${BASE:-}" ] && continue
    [ "$tool" = runc ] && [ "${ISOLATION:-oci}" = chroot ] && continue
    command -v "$tool" >/dev/null || missing+=("$tool")
done
[ "${#missing[@]}" = 0 ] || fail "needs ${missing[*]}; give: apt-get install --no-install-recommends ${missing[*]}"

work=${WORK:-$(mktemp -d -p "${TMPDIR:-/var/tmp}" docker-check.XXXXXX)}
mkdir -p "$work/tmp"
work=$(realpath "$work")
export TMPDIR=$work/tmp # buildah's own temporary files and pip's cache
image=localhost/detic-crop:cpu
uid=4321
isolation=${ISOLATION:-oci}

b() { buildah --root "$work/store" --runroot "$work/run" --storage-driver overlay "$@"; }

clean() {
    status=$?
    b rm --all >/dev/null 2>&1 || true
    if [ -z "${WORK:-}" ]; then
        b rmi --all --force >/dev/null 2>&1 || true
        umount "$work/store/overlay" 2>/dev/null || true
        rm -rf --one-file-system "$work"
    fi
    [ "$status" = 0 ] || printf 'docker-check: failed\n' >&2
}
trap clean EXIT

# ---------------------------------------------------------------- the files
say "files"
expect "hadolint: Dockerfile" hadolint docker/Dockerfile
expect "shellcheck: check.sh, job.slurm" shellcheck docker/check.sh docker/job.slurm
expect "compose.yaml fits the schema" check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
expect "job.yaml fits the schema" kubernetes-validate --strict docker/job.yaml

# ---------------------------------------------------------------- the image
say "image"
if [ -z "${BASE:-}" ]; then
    BASE=localhost/detic-crop-base
    # shellcheck disable=SC2016 # apt's variables
    apt=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
        awk '$3 == "main" && $2 !~ /-/ { print; exit }')
    SUITE=${SUITE:-${apt#* }}
    SUITE=${SUITE%% *}
    MIRROR=${MIRROR:-${apt%% *}}
    if ! b inspect --type image "$BASE" >/dev/null 2>&1; then
        debootstrap --variant=minbase "$SUITE" "$work/base" "$MIRROR" >"$work/debootstrap.log" ||
            fail "debootstrap: $(tail -n 1 "$work/debootstrap.log")"
        container=$(b from scratch)
        b add --quiet "$container" "$work/base" / >/dev/null
        b commit --quiet --rm "$container" "$BASE" >/dev/null
        rm -rf --one-file-system "$work/base"
    fi
    ok "base: $SUITE by debootstrap"
fi

# pip's configuration of this machine; what it names on this machine is shown to the build.
mkdir -p "$work/pip"
options=(--volume "$work/pip:/pip:ro")
if [ -z "${PIP_CONF:-}" ]; then
    PIP_CONF=$work/pip.conf
    echo '[global]' >"$PIP_CONF"
    wanted="s/^(global|:env:)\.(cert|constraint|(extra-)?index-url|trusted-host)='(.*)'$/\2 \4/p"
    while read -r name value; do
        if [ -f "$value" ]; then
            cp "$value" "$work/pip/$name"
            value=/pip/$name
        fi
        echo "$name = $value" >>"$PIP_CONF"
        for folder in ${value//file:\/\//}; do
            folder=${folder%/simple}
            [ ! -d "$folder" ] || options+=(--volume "$folder:$folder:ro")
        done
    done < <(python3 -m pip config list | sed -nE "$wanted" | sort -u -k 1,1)
fi
[ -z "${WHEELS:-}" ] || options+=(--build-context "wheels=$WHEELS")
started=$SECONDS
b bud --isolation chroot --layers --target cpu --tag "$image" --file docker/Dockerfile \
    --build-arg "BASE=$BASE" --build-arg "TORCH_INDEX=${TORCH_INDEX:-}" --build-arg VERSION=check \
    --secret "id=pip.conf,src=$PIP_CONF" "${options[@]}" . >"$work/build.log" 2>&1 || {
    tail -n 30 "$work/build.log"
    fail "the image was not built"
}
ok "built in $((SECONDS - started)) s: $(b images --format '{{.Size}}' "$image")"

config() { b inspect --type image --format "$1" "$image"; }
expect "user 1000:1000" test "$(config '{{.OCIv1.Config.User}}')" = 1000:1000
expect "labels" test "$(config '{{index .OCIv1.Config.Labels "org.opencontainers.image.version"}}')" = check
read -ra entry <<<"$(config '{{range .OCIv1.Config.Entrypoint}}{{.}} {{end}}')"
read -ra command <<<"$(config '{{range .OCIv1.Config.Cmd}}{{.}} {{end}}')"
container=$(b from "$image")
root=$(b mount "$container")
unwanted() {
    find "$root" -xdev \( -path "$root/root/.cache/*" -o -path "$root/var/lib/apt/lists/*" -o -path "$root/src" \
        -o -path "$root/wheels/*" -o -path "$root/dist/*" -o -path "$root/pip/*" -o -size +0 -path "$root/etc/pip.conf" \
        -o -regex '.*/s?bin/[^/]*\(gcc\|g\+\+\|clang\)[^/]*' -o -regex '.*/s?bin/\(cc\|ld\|as\|make\)' \)
}
expect "no compiler, no cache of pip or apt, no sources $(unwanted | head -n 5)" test -z "$(unwanted)"

# What `docker run --user` runs: the entry point, then the words given or else the image's own.
run() {
    local settings=()
    while [ "$1" != -- ]; do
        settings+=("$1")
        shift
    done
    shift
    [ "$#" -gt 0 ] || set -- "${command[@]}"
    b run --isolation "$isolation" --runtime "$(command -v runc || echo runc)" --network host --user "$uid:$uid" \
        --cap-drop all "${settings[@]}" "$container" "${entry[@]}" "$@"
}
one() { b run --isolation "$isolation" --runtime "$(command -v runc || echo runc)" "$container" "$@"; }
# shellcheck disable=SC2016
ok "a process of the container has the number $(one sh -c 'echo $$'), in isolation $isolation"
expect "without arguments it prints the help" diff <(run --) <(run -- --help)
run -- | sed -n '1,3s/^/    /p'

# ---------------------------------------------------------------- the job
say "job"
photos=$work/photos out=$work/out
rm -rf "$photos" "$out" "$work/weights"
mkdir -p "$photos" "$out"
for copy in 1 2 3 4; do
    cp -r examples/train_images "$photos/$copy"
done
chmod -R a+rX "$photos" && chmod a+x "$work" "$out"
total=$(find "$photos" -type f | wc -l)
install -d -o "$uid" -g "$uid" "$out"/{whole,stopped,early,shards} "$work/weights"
touch "$work/before"
crop=(run --in /photos --out /cropped --quiet)
# on OUT [SETTING…] -- WORD…: with the three volumes
on() {
    local volume=$out/$1
    shift
    run --volume "$photos:/photos:ro" --volume "$volume:/cropped" --volume "$work/weights:/weights" "$@"
}
same() { diff -r --exclude run.json --exclude .detic-crop "$out/whole" "$out/$1"; }

expect "the job runs" on whole -- "${crop[@]}"
expect "one row for each of $total photos" test "$(($(wc -l <"$out/whole/audit.csv") - 1))" = "$total"
expect "photos cannot be written" test "$(on whole -- run --in /photos --out /photos/x 2>&1 | grep -c 'Read-only')" = 1
foreign=$(find "$out"/* "$work/weights" ! -user "$uid" -o ! -group "$uid")
expect "files belong to the caller, user $uid, whom the image does not know $foreign" test -z "$foreign"
written=$(find "$root" -xdev -type f -newer "$work/before" -size +0 ! -path "$root/tmp/*" ! -path "$root/run/*")
expect "nothing is written but to /tmp and the volumes $written" test -z "$written"

# The process of the container to which an engine sends its signals.
init() {
    local pid
    for pid in $(pgrep -x tini); do
        if [ "$(stat -Lc %d:%i "/proc/$pid/root" 2>/dev/null)" = "$(stat -Lc %d:%i "$root")" ]; then
            echo "$pid"
            return
        fi
    done
}
recorded() { if [ -e "$1/.detic-crop/journal.jsonl" ]; then wc -l <"$1/.detic-crop/journal.jsonl"; else echo 0; fi; }
# stop OUT COUNT: starts the job and ends it with TERM once COUNT photos are recorded; sets code, took, after.
stop() {
    local job sent process=
    on "$1" -- "${crop[@]}" --workers 1 >"$work/said" 2>&1 &
    job=$!
    until process=$(init) && [ -n "$process" ] && [ "$(recorded "$out/$1")" -ge "$2" ]; do
        kill -0 "$job" 2>/dev/null || fail "the job ended before it was stopped: $(cat "$work/said")"
        sleep 0.05
    done
    sent=$SECONDS
    kill -TERM "$process"
    code=0
    wait "$job" || code=$?
    took=$((SECONDS - sent))
    after=$(recorded "$out/$1")
}
stop early 0
expect "TERM before the first photo: exit $code after $took s" test "$code" = 143 -a "$took" -lt 10
stop stopped 5
cat "$work/said"
expect "TERM in mid-run, $after of $total photos recorded: exit $code after $took s" \
    test "$code" = 143 -a "$took" -lt 10 -a "$after" -lt "$total"
for name in early stopped; do
    expect "the same command goes on" on "$name" -- "${crop[@]}"
    expect "with the result of a run that nothing stopped" same "$name"
done

expect "ONNX files and the hub's models can be loaded" one python -c 'import onnxruntime, transformers'
expect "weights are in the volume" test "$(on whole -- weights path)" = /weights
touch "$work/weights/$(sed -n 's/^file = "\(.*R18.*\)"$/\1/p' detic_crop/detectors/catalogue.toml)"
expect "and found there" on whole -- weights path detic-r18

for index in 0 1 2; do # as job.yaml tells it
    expect "shard $index of 3" on shards --env JOB_COMPLETION_INDEX=$index --env DETIC_CROP_SHARDS=3 \
        --env DETIC_CROP_SHARD=auto --env DETIC_CROP_IN=/photos --env DETIC_CROP_OUT=/cropped -- run --quiet
done
expect "merge" on shards -- merge /cropped
expect "shards give the result of one run" same shards
say "docker-check passed"
