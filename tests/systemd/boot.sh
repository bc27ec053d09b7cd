#!/bin/bash
# Boot systemd as process 1 of namespaces of its own, to run WORK/start in it as root:
#
#   boot.sh WORK        exit status: that of WORK/start; 125 when it did not come so far
#   boot.sh --probe     0 when this machine would allow it
#
# It sees this machine's files; what it writes goes to memory and is gone afterwards. WORK is
# /run/trial in there; what WORK/start says is in WORK/output. There is no network. Needs root,
# util-linux, and a systemd that is installed, running or not.
set -eu

inside() {   # Process 1 of the namespaces, with everything of theirs still to be mounted.
    local work=$1 top=$1/memory root=$1/memory/root node
    mount -t tmpfs -o mode=755 boot "$top"
    mkdir -m 755 "$top/written" "$top/overlay" "$root"
    mount -t overlay -o "lowerdir=/,upperdir=$top/written,workdir=$top/overlay" boot "$root"
    mount -t proc proc "$root/proc"
    for node in sys sysrq-trigger; do   # the kernel is this machine's
        [ -e "$root/proc/$node" ] || continue
        mount --bind "$root/proc/$node" "$root/proc/$node"
        mount -o remount,bind,ro "$root/proc/$node"
    done
    mount -t sysfs -o ro sys "$root/sys"
    mount -t cgroup2 cgroup "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 dev "$root/dev"
    for node in null zero full random urandom tty; do
        touch "$root/dev/$node"
        mount --bind "/dev/$node" "$root/dev/$node"
    done
    mkdir -m 1777 "$root"/dev/{shm,mqueue,pts}
    mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    mount -t tmpfs -o mode=755 run "$root/run"
    mount -t tmpfs -o mode=1777 tmp "$root/tmp"
    mkdir "$root/run/trial" "$root/run/old"
    mount --bind "$work" "$root/run/trial"
    [ ! -e "$work/probe" ] || exit 0
    units "$root"
    cd "$root"
    pivot_root . run/old
    umount -l run/old
    mount --make-rshared /
    exec env -i container=boot PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        setpriv --bounding-set=-sys_module,-sys_rawio,-sys_time,-syslog \
        /lib/systemd/systemd --system --unit=boot.target --show-status=no --log-target=journal \
        </dev/null
}

units() {   # Leave the journal and nothing else of what this machine starts.
    local etc=$1/etc/systemd
    rm -rf "$etc/system" "$1"/{usr/,}lib/systemd/system/*.target.wants
    mkdir -p "$etc/system" "$etc/journald.conf.d"
    : >"$1/etc/fstab"
    tr -d - </proc/sys/kernel/random/uuid >"$1/etc/machine-id"
    printf '[Journal]\nStorage=volatile\n' >"$etc/journald.conf.d/boot.conf"
    printf '[Unit]\nWants=systemd-journald.service boot.service\n' >"$etc/system/boot.target"
    cat >"$etc/system/boot.service" <<-'END'
	[Unit]
	SuccessAction=exit
	FailureAction=exit
	[Service]
	ExecStart=/run/trial/start
	StandardOutput=append:/run/trial/output
	StandardError=inherit
	END
}

if [ "$1" = --inside ]; then
    inside "$2"
fi

work=$1
if [ "$1" = --probe ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    touch "$work/probe"
fi
mkdir "$work/memory"

# A cgroup of its own, beneath ours, is the root of all that it will see of cgroups.
mounted=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$mounted" ] || { echo "no cgroup2 is mounted" >&2; exit 125; }
group=$mounted$(sed -n 's/^0:://p' /proc/self/cgroup)/boot-$$
mkdir "$group"
clear_up() {
    echo 1 >"$group/cgroup.kill" 2>/dev/null || true
    for _ in {1..50}; do   # until the last of them is gone
        [ -d "$group" ] || break
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
    done
    [ ! -e "$work/probe" ] || rm -rf "$work"
}
trap clear_up EXIT
trap 'exit 143' TERM INT

set +e
(
    echo "$BASHPID" >"$group/cgroup.procs" || exit 125
    exec setpriv --pdeathsig KILL unshare --fork --kill-child --pid --mount --cgroup --ipc --uts \
        --net bash "$0" --inside "$work"
) &
wait $!
status=$?
[ -e "$work/probe" ] || [ -e "$work/output" ] || status=125
exit $status
