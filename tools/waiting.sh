# Sourced. waiting WHAT COMMAND…: runs it quietly, says every 15 s that it is still at it, and shows what it said if it fails.
waiting() {
  what=$1
  shift
  echo "leeward: $what"
  said=$(mktemp)
  "$@" >"$said" 2>&1 &
  pid=$!
  # A shell's background commands do not hear Ctrl-C by themselves.
  trap 'kill "$pid" 2>/dev/null; rm -f "$said"; exit 130' INT TERM
  seconds=0
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    seconds=$((seconds + 1))
    [ $((seconds % 15)) != 0 ] || echo "leeward: $what: $seconds s so far"
  done
  status=0
  wait "$pid" || status=$?
  trap - INT TERM
  [ "$status" = 0 ] || cat "$said" >&2
  rm -f "$said"
  return "$status"
}
