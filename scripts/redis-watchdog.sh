#!/bin/sh
# Sees to it that Redis does not outlive its launcher, however the launcher ends (kill -9 included).
# The launcher holds the other end of stdin. While it lives it writes `wait PID` for a process that still needs Redis,
# `end PID` for one that is to be stopped, and `done` when it has stopped Redis itself. End of file without `done`
# means that the launcher is gone.
#   redis-watchdog.sh REDIS_PID GRACE_SECONDS SCRATCH_DIR_OR_EMPTY [CLEANUP COMMAND...]
# Plain sh, so that it costs next to nothing and needs nothing that may be in the middle of an update.
trap '' INT HUP
server=$1
ticks=$(($2 * 5))
scratch=$3
shift 3

# A zombie that nobody collects (PID 1 of many containers does not) is gone all the same.
alive() {
  kill -0 "$1" 2>/dev/null || return 1
  ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

# Waits for a process; the time is shared by all of one phase.
await() {
  while alive "$1"; do
    [ "$left" -gt 0 ] || return 1
    left=$((left - 1))
    sleep 0.2
  done
}

needing=
ending=
while read -r verb pid; do
  case $verb in
    wait) needing="$needing $pid" ;;
    end) ending="$ending $pid" ;;
    done) exit 0 ;;
  esac
done

for pid in $ending; do kill -TERM "$pid" 2>/dev/null; done
left=$ticks
for pid in $ending; do await "$pid" || kill -KILL "-$pid" 2>/dev/null; done
for pid in $needing; do await "$pid"; done

kill -TERM "$server" 2>/dev/null
left=75
await "$server" || kill -KILL "$server" 2>/dev/null
[ $# -eq 0 ] || "$@" >/dev/null 2>&1
[ -z "$scratch" ] || rm -rf -- "$scratch"
