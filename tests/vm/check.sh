# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# What every case needs; sourced in the guest. The environment says where things are:
#   PCS_VM_BUILD   the build folder with both programs
#   PCS_VM_OUT     where recordings, logs and summaries go; the host looks at them afterwards (look.py)
#   PCS_VM_ACCEL   kvm or tcg
# A check prints one line: "ok …", "FAIL …" or "skip …". Nothing here waits for time to pass.

now_ms() { awk '{ printf "%d", $1 * 1000 }' /proc/uptime; }

ok() { echo "ok    $*"; }
fail() { echo "FAIL  $*"; }
skip() { echo "skip  $*"; }
check() { # TEXT COMMAND...
  check_text=$1
  shift
  if "$@"; then ok "$check_text"; else fail "$check_text"; fi
}
not() { ! "$@"; }

# wait_for SECONDS COMMAND...: until COMMAND succeeds; fails when it does not in time.
wait_for() {
  wait_end=$(($(now_ms) + $1 * 1000))
  shift
  until "$@"; do
    [ "$(now_ms)" -lt "$wait_end" ] || return 1
    usleep 20000
  done
}

# What takes a second on a real processor may take longer on an emulated one.
if [ "$PCS_VM_ACCEL" = kvm ]; then slow=1; else slow=4; fi

log_of() { echo "$PCS_VM_OUT/$1.log"; }
log_has() { grep -qE -- "$2" "$(log_of "$1")"; } # NAME PATTERN
log_count() { grep -cE -- "$2" "$(log_of "$1")" || :; }
log_has_times() { [ "$(log_count "$1" "$2")" -ge "$3" ]; } # NAME PATTERN COUNT
show_log() { sed "s/^/      | /" "$(log_of "$1")" | tail -n "${2:-15}"; }

# ---- the receiver: one for the whole case, a file for each sender ----

receiver_prefix='' sender_prefix='' # commands that run them elsewhere: ip netns exec …
destination=127.0.0.1

receiver_start() { # MORE OPTIONS
  $receiver_prefix "$PCS_VM_BUILD/video-receiver" --listen-port 5000 --output "$PCS_VM_OUT/%n.mp4" "$@" \
    >"$PCS_VM_OUT/receiver.json" 2>"$(log_of receiver)" &
  receiver=$!
  wait_for 30 log_has receiver 'listening on port' || fail "the receiver does not start"
}

receiver_stop() {
  kill -INT "$receiver"
  wait "$receiver" || { fail "the receiver ended with $?"; show_log receiver; }
}

# ---- senders ----

sender_start() { # NAME OPTION...
  sender_name=$1
  shift
  $sender_prefix "$PCS_VM_BUILD/pi-camera-streamer" --dest-ip $destination --port 5000 --name "$sender_name" "$@" \
    >"$PCS_VM_OUT/$sender_name.json" 2>"$(log_of "$sender_name")" &
  sender=$!
}

sender_wait() { # TEXT: the sender ends by itself with status 0
  wait "$sender" && sender_status=0 || sender_status=$?
  if [ "$sender_status" = 0 ]; then ok "$1"; else fail "$1 (status $sender_status)"; show_log "$sender_name"; fi
}

sender_stop() {
  kill -INT "$sender"
  sender_wait "$1"
}

send() { # TEXT NAME OPTION...
  send_text=$1
  shift
  sender_start "$@"
  sender_wait "$send_text"
}

refused() { # TEXT NAME STATUS PATTERN OPTION...: it ends with STATUS and says PATTERN
  refused_text=$1 refused_status=$3 refused_pattern=$4 refused_name=$2
  shift 4
  sender_start "$refused_name" "$@"
  wait "$sender" && sender_status=0 || sender_status=$?
  if [ "$sender_status" = "$refused_status" ] && log_has "$refused_name" "$refused_pattern"; then
    ok "$refused_text"
  else
    fail "$refused_text (status $sender_status)"
    show_log "$refused_name"
  fi
  rm -f "$PCS_VM_OUT/$refused_name.json" # not one to add up
}

# await_log NAME PATTERN COUNT SECONDS TEXT
await_log() {
  if wait_for "$4" log_has_times "$1" "$2" "$3"; then ok "$5"; else fail "$5"; show_log "$1"; fi
}

# await_back NAME PATTERN COUNT TEXT: as await_log, within a second of a processor's time
await_back() {
  back_start=$(now_ms)
  await_log "$1" "$2" "$3" 20 "$4"
  back_ms=$(($(now_ms) - back_start))
  check "within a second: after $back_ms ms" test $back_ms -le $((1000 * slow))
}

# No text on vivid's colour bars.
bars_only() { v4l2-ctl -d "$1" -c osd_text_mode=2; }

# NAME's files grow: pictures arrive and are recorded.
size_of() { cat "$PCS_VM_OUT/$1".mp4 "$PCS_VM_OUT/$1"-[0-9]*.mp4 2>/dev/null | wc -c; }
grown() { [ "$(size_of "$1")" -gt "$2" ]; }
await_growth() { # NAME SECONDS TEXT
  growth_from=$(size_of "$1")
  if wait_for "$2" grown "$1" "$growth_from"; then ok "$3"; else fail "$3"; show_log "$1"; fi
}

# summary NAME KEY: the first number of that name
summary() { grep -o "\"$2\":[0-9]*" "$PCS_VM_OUT/$1.json" | head -n 1 | cut -d: -f2; }
summary_at_least() { [ "$(summary "$1" "$2")" -ge "$3" ]; }

# expect NAME KEY=VALUE...: what the host shall find in NAME.mp4 (look.py knows the keys)
expect() { echo "$*" >>"$PCS_VM_OUT/expect"; }
