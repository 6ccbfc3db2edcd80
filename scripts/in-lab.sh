# in-lab.sh - for scripts/demo and scripts/transcripts: . scripts/in-lab.sh, then in_lab_start
#
# A lab, a shell environment that knows it and nothing else, and two pages served on this machine's loopback at ports
# $page and $private. Everything lives in $d and is gone when the shell ends, however it ends.

say() { echo "${0##*/}: $*" >&2; }
free_port() {  # free_port FROM: the first that nobody listens on
	port=$1
	while cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
		awk -v p="$(printf ':%04X' "$port")" '$4 == "0A" && $2 ~ p"$" { n = 1 } END { exit !n }'; do
		port=$((port + 1))
	done
	echo "$port"
}
serve() {  # serve PORT TEXT
	mkdir -p "$d/www/$1"
	echo "$2" >"$d/www/$1/index.html"
	if command -v busybox >/dev/null && busybox httpd --help >/dev/null 2>&1; then
		busybox httpd -f -p "127.0.0.1:$1" -h "$d/www/$1" >/dev/null 2>&1 &
	elif command -v python3 >/dev/null; then
		python3 -m http.server --bind 127.0.0.1 -d "$d/www/$1" "$1" >/dev/null 2>&1 &
	else
		say 'needs a web server to show: install busybox or python3'
		exit 3
	fi
	servers="$servers $!"
	tries=200
	until printf '0100007F:%04X 00000000:0000 0A\n' "$1" | grep -qf - /proc/net/tcp; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || { say "the web server on port $1 does not start"; exit 1; }
		sleep 0.01
	done
}
in_lab_stop() {
	status=$?
	trap - EXIT
	trap '' HUP INT TERM
	[ ! -d "$d/state" ] || ws-down -qfa
	for pid in $servers ${!-}; do	# a signal may come before the last is in the list
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	"$top/tests/lab/lab" stop "$d/lab" >/dev/null
	cd /
	rm -rf "$d"
	exit $status
}
in_lab_start() {
	top=$(cd "$(dirname "$0")/.." && pwd -P)
	command -v go >/dev/null || { say 'the lab is a Go program: install Go 1.26 or newer (https://go.dev/dl)'; exit 3; }
	[ -x "$top/moorbox" ] || { say 'building moorbox (some minutes the first time)'; make -sC "$top" >&2 || exit 1; }
	servers=''
	# Its name is known before it is there: a signal at any time finds what to remove.
	d=${TMPDIR:-/tmp}/moorbox.$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
	trap in_lab_stop EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	mkdir -m 700 "$d" || exit 1
	mkdir "$d/bin" "$d/home" "$d/run"
	"$top/tests/lab/lab" start "$d/lab" "$@" >"$d/vars" || exit
	. "$d/vars"
	for v in $(env | sed -n 's/^\(\(TS\|MOORBOX\|PERRY\|XDG\)_[A-Za-z_0-9]*\)=.*/\1/p'); do unset "$v"; done
	unset CI http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
	ln -s "$top/moorbox" "$d/bin/moorbox"
	"$top/moorbox" | while IFS='	' read -r applet _; do ln -s moorbox "$d/bin/$applet"; done
	PATH=$d/bin:$PATH HOME=$d/home XDG_RUNTIME_DIR=$d/run MOORBOX_STATE=$d/state
	MOORBOX_TAILSCALED=$LAB_TAILSCALED TS_LOGIN_SERVER=$LAB_CONTROL TS_AUTHKEY=$LAB_KEY
	export PATH HOME XDG_RUNTIME_DIR MOORBOX_STATE MOORBOX_TAILSCALED TS_LOGIN_SERVER TS_AUTHKEY
	# A machine with nothing but loopback is network enough here.
	export TS_ASSUME_NETWORK_UP_FOR_TEST=1 MOORBOX_PASS_ENV=TS_ASSUME_NETWORK_UP_FOR_TEST
	page=$(free_port 3000)
	private=$(free_port $((page + 1)))
	serve "$page" 'hello from the tailnet'
	serve "$private" 'for this machine only'
	cd "$d/home" || exit 1
}
