#!/bin/sh
# install.sh - put moorbox, a link for each applet, man pages and completions in place; or take them away
#
# usage: ./install.sh [-fn] [--prefix DIR] [--from FILE]
# usage: ./install.sh --uninstall [-fn] [--prefix DIR]
#
#   -f, --force     replace, or take away, what is not ours or was changed
#   -n, --dry-run   say what would be done, touch nothing
#   --prefix DIR    instead of $PREFIX, else /usr/local (root) or ~/.local
#   --from FILE     the moorbox to install, instead of the one beside this script
#   --uninstall     take away what an installation put there, and nothing else
#
# Works in a source tree (calls make when there is no ./moorbox) and in an unpacked release; needs no network.
# With DESTDIR set all of it goes below that directory. What was put there is listed in
# PREFIX/lib/moorbox/install.manifest. Interrupted, it leaves each file old or new: run it again.
#
# Nothing happens before the last line, so a copy that was cut off does nothing.

usage() {
	sed -n 's/^# usage: /usage: /p; /^#   /s/^# //p' "$me"
}
die() {  # die REASON MESSAGE [HINT]
	echo "install.sh: $2 [$1]" >&2
	[ -z "${3-}" ] || echo "install.sh: hint: $3" >&2
	case $1 in
	usage) exit 2 ;;
	busy | interrupted) exit 3 ;;
	cannot-exec) exit 126 ;;
	*) exit 1 ;;
	esac
}
die_tool() {  # die_tool WHAT: the tool's own words are in $words
	case $words in
	*'o space left'* | *'uota exceeded'* | *'File too large'*) why=no-space do='make room, then run it again' ;;
	*'ermission denied'* | *'ead-only'* | *'not permitted'*)
		why=no-permission do='run it as root, or choose a place of your own with --prefix DIR' ;;
	*) why=system do= ;;
	esac
	die $why "$1: $(echo "$words" | sed '$!d; s/.*: //')${2-}" "$do"
}
try() {  # try WHAT COMMAND...
	what=$1
	shift
	words=$("$@" 2>&1) || die_tool "$what" "$state"
}
has() {  # has LIST LINE: is it one of its lines?
	case "$nl$1$nl" in *"$nl$2$nl"*) ;; *) return 1 ;; esac
}

# ---- what is to be there: lines "file MODE PATH<tab>SOURCE" and "link TARGET PATH" ----

here_or_gen() {  # gen/man in a source tree, man in a release
	if [ -d "$top/gen/$1" ]; then echo "$top/gen/$1"; else echo "$top/$1"; fi
}
make_plan() {
	man=$(here_or_gen man) completions=$(here_or_gen completions)
	applets=$("$binary" 2>/dev/null | cut -f1)
	[ -n "$version" ] ||	# of another machine
		applets=$(ls "$man" 2>/dev/null | sed -n '/^moorbox\.1$/d; s/\.1$//p')
	plan="file 755 bin/moorbox$tab$binary"
	for a in $applets; do plan="$plan${nl}link moorbox bin/$a"; done
	for f in "$man"/*.1; do
		[ ! -f "$f" ] || plan="$plan${nl}file 644 share/man/man1/${f##*/}$tab$f"
	done
	# bash and fish look for a file named after the command.
	completion moorbox.bash share/bash-completion/completions ''
	completion moorbox.fish share/fish/vendor_completions.d .fish
	[ ! -f "$completions/_moorbox" ] ||
		plan="$plan${nl}file 644 share/zsh/site-functions/_moorbox$tab$completions/_moorbox"
	plan="$plan${nl}file 755 lib/moorbox/install.sh$tab$me"
}
completion() {  # completion SOURCE DIR SUFFIX
	[ -f "$completions/$1" ] || return 0
	plan="$plan${nl}file 644 $2/moorbox$3$tab$completions/$1"
	for a in $applets; do plan="$plan${nl}link moorbox$3 $2/$a$3"; done
}

# ---- the manifest: lines "file SHA256 PATH", "link TARGET PATH", "dir PATH" ----

sum() { set -- $(sha256sum <"$1"); echo "$1"; }
on_disk() {  # the manifest's line for what is at PATH now; nothing when there is nothing
	if [ -L "$root/$1" ]; then
		echo "link $(readlink "$root/$1") $1"
	elif [ -f "$root/$1" ]; then
		echo "file $(sum "$root/$1") $1"
	elif [ -e "$root/$1" ]; then
		echo "other - $1"
	fi
}
read_manifest() {
	old=
	[ ! -e "$manifest" ] || old=$(cat "$manifest") || die no-permission "$manifest: cannot be read"
	case "$nl$old" in *"$nl"dir\ /* | */../*) die not-ours "$manifest: not a manifest of ours" ;; esac
}
write_manifest() {  # write_manifest TEXT
	tmp=$(tmp_of "$manifest")
	trash="$trash$nl$tmp"
	words=$( { printf '%s\n' "$1" >"$tmp"; } 2>&1) || die_tool "$manifest" "$state"
	flush "$tmp"
	try "$manifest" mv -f "$tmp" "$manifest"
}
flush() { sync "$@" 2>/dev/null || sync; }

# ---- install ----

# Sets todo (plan lines with something to do), want (manifest lines), foreign (what is in the way).
compare() {
	todo= want= foreign=
	while read -r kind arg rest; do
		path=${rest%%"$tab"*}
		case $kind in
		file) line="file $(sum "${rest#*"$tab"}") $path" ;;
		link) line="link $arg $path" ;;
		esac
		want="$want$line$nl"
		now=$(on_disk "$path")
		if [ "$now" = "$line" ] && { [ "$arg" != 755 ] || [ -x "$root/$path" ]; }; then
			continue
		fi
		todo="$todo$kind $arg $rest$nl"
		case $now in
		'') ;;
		other*) die not-ours "$prefix/$path: is in the way and is no file" 'move it away' ;;
		*) has "$old" "$now" || foreign="$foreign $prefix/$path" ;;
		esac
	done <<-END
		$plan
	END
	stale=
	while read -r kind arg path; do
		[ "$kind" != dir ] || continue
		case "$nl$want" in *" $path$nl"*) ;; *) [ -z "$path" ] || stale="$stale$kind $arg $path$nl" ;; esac
	done <<-END
		$old
	END
}
# Sets dirs: those to make, outermost first; made_dirs: their lines of the manifest.
missing_dirs() {
	dirs= made_dirs=
	while read -r kind arg rest; do
		[ -n "$kind" ] || continue
		path=${rest%%"$tab"*}
		need_dir "$root/${path%/*}"
	done <<-END
		$todo
		file 644 lib/moorbox/install.manifest
	END
}
need_dir() {
	[ -n "$1" ] && ! has "$dirs" "$1" || return 0
	if [ -d "$1" ]; then
		[ -w "$1" ] || { words='Permission denied'; die_tool "$1" "$state"; }
	else
		[ ! -e "$1" ] || die not-ours "$1: is in the way and is no directory" 'move it away'
		need_dir "${1%/*}"
		dirs="$dirs${dirs:+$nl}$1"
		case $1 in
		"$root") made_dirs="${nl}dir ." ;;
		"$root"/*) made_dirs="$made_dirs${nl}dir ${1#"$root"/}" ;;
		esac
	fi
}
tmp_of() { echo "${1%/*}/.${1##*/}.$$.new"; }
install_all() {
	[ -f "$binary" ] || build
	"$binary" --version >/dev/null 2>&1 || [ -n "$DESTDIR" ] ||
		die cannot-exec "$binary: does not run on this machine ($(uname -m))" \
			'build it here with make, or take the release for this machine'
	version=$("$binary" --version 2>/dev/null | sed -n '1s/^moorbox //p') || :
	read_manifest
	make_plan
	compare
	if [ -n "$foreign" ] && [ -z "$force" ]; then
		die not-ours "not put there by this script, or changed since:$foreign" '-f replaces them'
	fi
	missing_dirs
	kept_dirs=$(echo "$old" | grep '^dir ') || :
	want=$(printf '%s\n' "$want$kept_dirs" "$made_dirs" | sed '/^$/d')
	if [ -z "$todo$stale" ] && [ "$want" = "$old" ]; then
		echo "moorbox${version:+ $version} is installed in $prefix already: nothing to do"
		return
	fi
	if [ -n "$dry" ]; then
		printf '%s' "$todo" | while read -r kind arg rest; do
			path=${rest%%"$tab"*}
			case $kind in
			file) echo "would write $root/$path" ;;
			link) echo "would link $root/$path -> $arg" ;;
			esac
		done
		echo "$stale" | sed -n "s|^[a-z]* [^ ]* |would remove $root/|p"
		return
	fi
	state=', so nothing was changed'
	for_lines "$dirs" make_dir
	lock
	clean_old_temps
	# From here on an uninstall finds everything, whenever we are killed: the old lines and the new ones.
	undo_manifest=1
	write_manifest "$(printf '%s\n%s\n' "$old" "$want" | sed '/^$/d' | awk '!seen[$0]++')"
	stage
	undo_manifest= undo_dirs= state=', and some files are new already: run it again'
	switch
	for_lines "$stale" remove_line
	write_manifest "$want"
	trash=
	report
}
for_lines() {
	[ -z "$1" ] || while IFS= read -r line; do "$2" "$line"; done <<-END
		$1
	END
}
make_dir() {
	try "$1" mkdir "$1"
	undo_dirs="$1${undo_dirs:+$nl}$undo_dirs"
}
lock() {
	command -v flock >/dev/null || return 0
	exec 9<"$root/lib/moorbox"
	flock -n 9 || die busy "$prefix: another install.sh is at work there" 'wait until it is done'
}
clean_old_temps() {  # what a kill -9 left
	printf '%s\n' "$plan" 'file 644 lib/moorbox/install.manifest' | while read -r kind arg rest; do
		path=${rest%%"$tab"*}
		[ -z "$path" ] || rm -f "$root/${path%/*}/.${path##*/}."*.new
	done
}
# All of it is written beside its place and on disk before the first name changes.
stage() {
	set --
	while read -r kind arg rest; do
		[ -n "$kind" ] || continue
		path=${rest%%"$tab"*}
		tmp=$(tmp_of "$root/$path")
		trash="$trash$nl$tmp"
		if [ "$kind" = file ]; then
			try "$root/$path" cp "${rest#*"$tab"}" "$tmp"
			try "$root/$path" chmod "$arg" "$tmp"
			set -- "$@" "$tmp"
		else
			try "$root/$path" ln -s "$arg" "$tmp"
		fi
	done <<-END
		$todo
	END
	[ $# = 0 ] || flush "$@"
}
switch() {
	while read -r kind arg rest; do
		[ -n "$kind" ] || continue
		path=${rest%%"$tab"*}
		[ ! -L "$root/$path" ] || [ ! -d "$root/$path" ] || rm -f "$root/$path"	# mv would go into it
		try "$root/$path" mv -f "$(tmp_of "$root/$path")" "$root/$path"
	done <<-END
		$todo
	END
}
build() {
	[ -f "$top/Makefile" ] && [ -z "$from" ] ||
		die system "$binary: there is no such program" 'run this in a source tree or an unpacked release'
	[ -z "$dry" ] || { echo "would build $binary with make"; exit 0; }
	echo "no $binary yet: building it with make"
	(cd "$top" && make) || die system 'make failed' 'read its words above'
	[ -f "$binary" ] || die system "$binary: make did not make it"
}
report() {
	echo "$root/bin/moorbox: installed${version:+, version $version}"
	[ -z "$applets" ] || echo "$root/bin: links for" $applets
	echo "$root/share: man pages; completions for bash, zsh and fish"
	[ -z "$DESTDIR" ] || return 0
	echo "to undo: sh $prefix/lib/moorbox/install.sh --uninstall"
	first=$(command -v moorbox) || first=
	case ":$PATH:" in
	*":$prefix/bin:"*)
		[ -z "$first" ] || [ "$first" = "$prefix/bin/moorbox" ] ||
			echo "note: $first comes first in PATH" ;;
	*) echo "note: $prefix/bin is not in PATH; type: PATH=$prefix/bin:\$PATH" ;;
	esac
}

# ---- uninstall ----

uninstall_all() {
	read_manifest
	if [ ! -e "$manifest" ]; then
		echo "there is no moorbox of this script's in $prefix: nothing to do"
		return
	fi
	plan=$(echo "$old" | sed -n '/^dir /d; p')
	if [ -z "$dry" ]; then
		lock
		clean_old_temps
	fi
	left= removed=0
	for_lines "$plan" remove_line
	if [ -n "$dry" ]; then
		echo "would remove $manifest"
		return
	fi
	if [ -n "$left" ]; then
		write_manifest "$left$(echo "$old" | grep '^dir ')"
		trash=
		paths=$(echo "$left" | sed -n "s|^[a-z]* [^ ]* | $prefix/|p" | sort -u | tr -d '\n')
		die not-ours "$removed removed; changed since it was installed, so left:$paths" '-f removes it'
	fi
	try "$manifest" rm -f "$manifest"
	for d in lib/moorbox $(echo "$old" | sed -n 's/^dir //p' | sort -r); do
		rmdir "$root/${d#.}" 2>/dev/null || :
	done
	echo "$prefix: moorbox is removed, $removed files and links"
	[ ! -d "$root/lib/moorbox" ] || echo "note: $prefix/lib/moorbox stays: it holds files of others"
}
remove_line() {
	read -r kind arg path <<-END
		$1
	END
	now=$(on_disk "$path")
	[ -n "$now" ] || return 0
	if [ "$now" != "$1" ] && has "$old" "$now"; then
		return 0	# another line, of the version before, says so
	elif [ "$now" != "$1" ] && { [ -z "$force" ] || [ "${now%% *}" = other ]; }; then
		has "${left-}" "$1" || left="${left-}$1$nl"
	elif [ -n "$dry" ]; then
		echo "would remove $root/$path"
	else
		try "$root/$path" rm -f "$root/$path"
		removed=$((${removed:-0} + 1))
	fi
}

# ---- the way in ----

cleanup() {  # of a run that did not come to its end
	status=$?
	trap - EXIT
	trap '' HUP INT TERM
	for_lines "$trash" remove_temp
	if [ -n "$undo_manifest" ]; then
		if [ -n "$old" ]; then
			tmp=$(tmp_of "$manifest")
			{ printf '%s\n' "$old" >"$tmp" && mv -f "$tmp" "$manifest"; } 2>/dev/null || rm -f "$tmp"
		else
			rm -f "$manifest"
		fi
	fi
	for_lines "$undo_dirs" remove_dir
	exit $status
}
remove_temp() { [ -z "$1" ] || rm -f "$1"; }
remove_dir() { rmdir "$1" 2>/dev/null || :; }
operand() { [ $# -gt 1 ] && [ -n "$2" ] || die usage "$1: which one?" "see $me --help"; }
set_prefix() {
	installed=${me%/*}
	if [ -z "$prefix" ] && [ -f "$installed/install.manifest" ]; then
		prefix=${installed%/lib/moorbox}
	elif [ -z "$prefix" ] && [ "$(id -u)" = 0 ]; then
		prefix=/usr/local
	elif [ -z "$prefix" ]; then
		[ -n "${HOME-}" ] || die no-home 'HOME is not set' 'choose a place with --prefix DIR'
		prefix=$HOME/.local
	fi
	case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
	prefix=${prefix%/}
	root=${DESTDIR%/}$prefix
	case $root in /*) ;; *) root=$PWD/$root ;; esac
	case $root$top in *"$nl"* | *"$tab"*) die usage 'a path with a tab or a newline in it' ;; esac
	manifest=$root/lib/moorbox/install.manifest
}
main() {
	set -eu
	umask 022
	LC_ALL=C
	export LC_ALL
	tab=$(printf '\t')
	nl='
'
	DESTDIR=${DESTDIR-} prefix=${PREFIX-} from= force= dry= verb=install_all
	state= trash= old= undo_manifest= undo_dirs=
	case $0 in */*) top=$(cd "${0%/*}" && pwd) ;; *) top=$PWD ;; esac
	me=$top/${0##*/}
	[ -f "$me" ] ||
		die usage 'not to be read from a pipe' 'unpack a release, or clone the repository; run ./install.sh there'
	while [ $# -gt 0 ]; do
		case $1 in
		-f | --force) force=1 ;;
		-n | --dry-run) dry=1 ;;
		-fn | -nf) force=1 dry=1 ;;
		--prefix) operand "$@"; prefix=$2; shift ;;
		--prefix=*) prefix=${1#*=} ;;
		--from) operand "$@"; from=$2; shift ;;
		--from=*) from=${1#*=} ;;
		--uninstall) verb=uninstall_all ;;
		-h | --help) usage; exit 0 ;;
		*) die usage "$1: no such option" "see $me --help" ;;
		esac
		shift
	done
	binary=${from:-$top/moorbox}
	set_prefix
	trap cleanup EXIT
	trap 'die interrupted "interrupted$state" "run it again"' HUP INT TERM
	$verb
}

{ main "$@"; exit; }
