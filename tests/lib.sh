# lib.sh - what every tests/*.test begins with: . "${0%/*}/lib.sh"
#
#	t "what" "command" STATUS 'stdout' 'stdin'	one case; %b escapes; stdout '*': any
#	t_err "what" "command" STATUS 'stderr'		the same for the message; %b escapes
#	ok "what" CMD...    not_ok "what" CMD...	a command that must succeed, or fail with a status below 126
#	is "what" GOT WANT  like "what" GOT ERE		text that must be equal, or match
#	skip "what" "why"   skip_all "why"		what cannot be tried here
#	start CMD...					in the background; its pid in $pid; ended with the file
#	wait_for SEC 'command'				until it succeeds, looked at every 20 ms
#	at_exit 'command'				run before everything is taken down
#	lab_start [OPTION...]			the file's own lab: what `lab start` prints is set, and MOORBOX_TAILSCALED and
#						TS_LOGIN_SERVER to use it; where no lab can be: skip_all
#	lab VERB [ARG...]				lab ctl on it
#	release_build					real programs packed and signed as they are published: their folder in $made (see
#						tests/release/release); where none can be: skip_all
#	release ARG...					that script
#	with_node NAME [CMD...]				a workspace on it that is up; with CMD: as long as CMD runs
#
# A file has its own everything: $tmp, HOME, MOORBOX_STATE, XDG_RUNTIME_DIR, TMPDIR, and PATH with a link for
# each applet; $mb is the binary, $src the tree. When it ends, nothing that it started may be left: processes
# (found through /proc by $tmp in their environment, arguments or directory), files in TMPDIR, sockets.
#
# Lines at the top of a test: `# serial` alone, `# limit SEC`, `# story` cases need one another.

set -u
LC_ALL=C
export LC_ALL
self=$(cd "$(dirname "$0")" && pwd -P)/${0##*/}
src=${self%/tests/*}
mb=${MOORBOX_BIN:-$src/moorbox}
case $mb in /*) ;; *) mb=$PWD/$mb ;; esac
[ -x "$mb" ] || { echo "Bail out! there is no $mb; run make"; exit 1; }

only_case=${MOORBOX_CASE-}
is_ci=${CI-}
is_story=$(sed -n '/^# story/p;/^[^#]/q' "$0")
outer_home=${HOME-/} outer_cache=${XDG_CACHE_HOME-} outer_lab_cache=${MOORBOX_CACHE-}
outside='TS|MOORBOX|PERRY|XDG|GITHUB|CI|BUILDKITE|GITLAB|RUNNER'
for v in $(env | cut -d= -f1 | grep -E "^($outside)_[A-Za-z_0-9]*\$"); do
	unset "$v"
done
unset CI http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY BUILD_ID TERM
unset SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE NIX_SSL_CERT_FILE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS v
export PYTHONDONTWRITEBYTECODE=1	# the tree may be read-only
# What an applet holds until it ends is not freed; leaks are looked for in the unit tests.
export ASAN_OPTIONS="detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"

# Short, since unix sockets live below it (107 bytes).
tmp=$(mktemp -d "${TMPDIR:-/tmp}/mb.XXXXXX") && tmp=$(cd "$tmp" && pwd -P) || exit 1
mkdir "$tmp/bin" "$tmp/home" "$tmp/state" "$tmp/run" "$tmp/tmp" "$tmp/work"
chmod 700 "$tmp"/*
ln -s "$mb" "$tmp/bin/moorbox"
for v in $("$mb" | cut -f1); do ln -s moorbox "$tmp/bin/$v"; done
PATH=$tmp/bin:$PATH HOME=$tmp/home MOORBOX_STATE=$tmp/state XDG_RUNTIME_DIR=$tmp/run TMPDIR=$tmp/tmp
export PATH HOME MOORBOX_STATE XDG_RUNTIME_DIR TMPDIR
cd "$tmp/work" || exit 1

count=0 failures=0 started='' hooks='' pid='' lab_dir=''

# ---- one case ----

_result() {	# ok?, what, remark
	count=$((count + 1))
	[ "$1" = 0 ] || failures=$((failures + 1))
	if [ "$1" = 0 ]; then _r=ok; else _r='not ok'; fi
	if [ -z "$only_case" ] || [ "$only_case" = "$2" ] || [ "$1" != 0 ]; then
		echo "$_r $count - $2${3:+ # $3}"
	fi
	[ "$1" = 0 ]
}
_wanted() { [ -z "$only_case" ] || [ "$only_case" = "$1" ] || [ -n "$is_story" ]; }
_show() {	# heading, file
	echo "#   $1"
	head -c 4000 "$2" | sed 's/^/#     |/'
	[ -z "$(tail -c 1 "$2")" ] || echo
}
_alone() { echo "#   alone: tests/run tests/${0##*/} '$1'"; }
t() {
	_wanted "$1" || return 0
	printf %b "${5-}" >"$tmp/.in"
	printf %b "$4" >"$tmp/.want"
	(eval "$2") <"$tmp/.in" >"$tmp/.out" 2>"$tmp/.err"
	_st=$?
	if [ $_st = "$3" ] && { [ "$4" = '*' ] || cmp -s "$tmp/.want" "$tmp/.out"; }; then
		_result 0 "$1"
		return
	fi
	_result 1 "$1" || :
	echo "#   command: $2"
	[ $_st = "$3" ] || echo "#   status: expected $3, got $_st"
	[ "$4" = '*' ] || cmp -s "$tmp/.want" "$tmp/.out" || _show 'stdout, expected:' "$tmp/.want"
	_show 'stdout, got:' "$tmp/.out"
	_show 'stderr:' "$tmp/.err"
	_alone "$1"
	return 1
}
t_err() {
	_wanted "$1" || return 0
	printf %b "${5-}" >"$tmp/.in"
	printf %b "$4" >"$tmp/.want"
	(eval "$2") <"$tmp/.in" >"$tmp/.out" 2>"$tmp/.err"
	_st=$?
	if [ $_st = "$3" ] && cmp -s "$tmp/.want" "$tmp/.err"; then
		_result 0 "$1"
		return
	fi
	_result 1 "$1" || :
	echo "#   command: $2"
	[ $_st = "$3" ] || echo "#   status: expected $3, got $_st"
	_show 'stderr, expected:' "$tmp/.want"
	_show 'stderr, got:' "$tmp/.err"
	_alone "$1"
	return 1
}
_command() {	# must it succeed?, what, command...
	_yes=$1 _what=$2
	shift 2
	_wanted "$_what" || return 0
	"$@" >"$tmp/.out" 2>&1 </dev/null
	_st=$?
	if { [ $_yes = 1 ] && [ $_st = 0 ]; } || { [ $_yes = 0 ] && [ $_st != 0 ] && [ $_st -lt 126 ]; }; then
		_result 0 "$_what"
		return
	fi
	_result 1 "$_what" || :
	echo "#   command: $*"
	echo "#   status: expected $([ $_yes = 1 ] && echo 0 || echo '1 to 125'), got $_st"
	_show 'output:' "$tmp/.out"
	_alone "$_what"
	return 1
}
ok() { _command 1 "$@"; }
not_ok() { _command 0 "$@"; }
_text() {	# good?, what, got, expected
	_wanted "$2" || return 0
	_result "$1" "$2" && return
	printf '%s\n' "$4" >"$tmp/.want"
	printf '%s\n' "$3" >"$tmp/.out"
	_show 'expected:' "$tmp/.want"
	_show 'got:' "$tmp/.out"
	_alone "$2"
	return 1
}
is() {
	[ "$2" = "$3" ]
	_text $? "$1" "$2" "$3"
}
like() {
	printf '%s\n' "$2" | grep -Eq -e "$3"
	_text $? "$1" "$2" "a text that matches $3"
}
skip() {
	if _wanted "$1"; then _result 0 "$1" "SKIP $2"; fi
}
skip_all() {
	skipped_all=$1
	exit 0
}

# ---- what runs beside ----

start() {
	"$@" </dev/null >"$tmp/started.out" 2>"$tmp/started.err" &
	pid=$!
	started="$started $pid"
}
wait_for() {
	_n=$(($1 * 50))
	until (eval "$2") >/dev/null 2>&1; do
		_n=$((_n - 1))
		[ $_n -gt 0 ] || return 1
		sleep 0.02
	done
}
at_exit() { hooks="$1
$hooks"; }

_lab() {	# the lab is built in, and from, the caller's own home
	(
		HOME=$outer_home
		[ -z "$outer_cache" ] || export XDG_CACHE_HOME="$outer_cache"
		[ -z "$outer_lab_cache" ] || export MOORBOX_CACHE="$outer_lab_cache"
		unset MOORBOX_STATE XDG_RUNTIME_DIR
		TMPDIR=/tmp exec "$src/tests/lab/lab" "$@"
	)
}
lab_start() {
	_dir=$tmp/lab
	_out=$(_lab start "$_dir" "$@" 2>"$tmp/.err")
	_st=$?
	[ $_st != 3 ] || skip_all "no lab here: $(tail -n 1 "$tmp/.err" | sed 's/^lab: //')"
	if [ $_st != 0 ]; then
		_result 1 'the lab starts' || :
		_show 'stderr:' "$tmp/.err"
		exit 1
	fi
	lab_dir=$_dir
	eval "$_out"
	_key "$LAB_KEY" "$LAB_TOKEN" "$LAB_CLIENT"
	export MOORBOX_TAILSCALED="$LAB_TAILSCALED" TS_LOGIN_SERVER="$LAB_CONTROL"
}
release() {
	(
		HOME=$outer_home
		[ -z "$outer_cache" ] || export XDG_CACHE_HOME="$outer_cache"
		[ -z "$outer_lab_cache" ] || export MOORBOX_CACHE="$outer_lab_cache"
		TMPDIR=/tmp exec "$src/tests/release/release" "$@"
	)
}
release_build() {
	made=$(release build 2>"$tmp/.err")
	case $? in
	0) ;;
	3) skip_all "no release here: $(tail -n 1 "$tmp/.err" | sed 's/^release: //')" ;;
	*) cat "$tmp/.err"; exit 1 ;;
	esac
}
_key() {	# tests/run searches the logs for each of them
	[ -z "${seen_keys-}" ] || printf '%s\n' "$@" | sed '/^$/d' >>"$seen_keys"
}
lab() {
	case $1 in
	key | client)
		_out=$(_lab ctl "$lab_dir" "$@") || return
		_key "$_out"
		printf '%s\n' "$_out"
		;;
	*) _lab ctl "$lab_dir" "$@" ;;
	esac
}
with_node() {
	_node=$1
	shift
	if [ $# = 0 ]; then
		at_exit "ws-down '$_node' >/dev/null 2>&1"
		TS_AUTHKEY=$LAB_KEY ws-up "$_node" >"$tmp/.out" 2>"$tmp/.err" && return
		_result 1 "the workspace $_node comes up" || :
		_show 'stderr:' "$tmp/.err"
		return 1
	fi
	TS_AUTHKEY=$LAB_KEY ws-up "$_node" -- "$@"
}

# ---- the end ----

# pids of processes that belong to this file, other than itself
_left() {
	cd /
	for _p in $({ grep -alF "$tmp" /proc/[0-9]*/environ /proc/[0-9]*/cmdline
		find /proc/[0-9]* -maxdepth 1 -name cwd -lname "$tmp*"; } 2>/dev/null | cut -d/ -f3 | sort -u); do
		[ "$_p" != $$ ] && grep -q '^State:.[^ZX]' "/proc/$_p/status" 2>/dev/null && echo "$_p"
	done
}
_finish() {
	_status=$?
	trap - EXIT
	trap '' HUP INT TERM
	eval "$hooks"
	for _p in $started; do kill "$_p" 2>/dev/null; done
	[ -z "$lab_dir" ] || _lab stop "$lab_dir" >/dev/null 2>&1
	_n=250
	while _pids=$(_left) && [ -n "$_pids" ] && [ $_n -gt 0 ]; do
		_n=$((_n - 1))
		sleep 0.04
	done
	if [ -n "$_pids" ]; then
		_result 1 'nothing is left running' || :
		for _p in $_pids; do
			echo "#   $_p: $(tr '\0' ' ' <"/proc/$_p/cmdline" 2>/dev/null | cut -c 1-200)"
			kill "$_p" 2>/dev/null
		done
		sleep 0.3
		for _p in $(_left); do kill -9 "$_p" 2>/dev/null; done
	fi
	_files=$(cd "$tmp" && { find tmp -mindepth 1; find run state -type s; } 2>/dev/null | head -n 20)
	if [ -n "$_files" ]; then
		_result 1 'no temporary file or socket is left' || :
		printf '%s\n' "$_files" | sed 's/^/#   /'
	fi
	cd /
	if [ -n "${MOORBOX_KEEP-}" ]; then echo "# kept: $tmp"; else rm -rf "$tmp"; fi
	if [ -n "${skipped_all-}" ] && [ $failures = 0 ]; then
		[ $count = 0 ] && echo "1..0 # SKIP $skipped_all" && exit 0
		echo "ok $((count + 1)) - the rest # SKIP $skipped_all"
		echo "1..$((count + 1))"
		exit 0
	fi
	if [ $_status != 0 ] && [ $_status -lt 129 ]; then
		_result 1 'the test file runs to its end' || :
		echo "#   it ended with status $_status"
	fi
	echo "1..$count"
	[ $_status -lt 129 ] || exit $_status
	[ $failures = 0 ]
	exit
}
trap _finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
