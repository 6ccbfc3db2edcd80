# gen.awk - from the head comments of the applets: tables, help, man pages, completions
#
#	awk -v out=DIR -v version=V -v date="Month D, YYYY" -f gen.awk completions/values main.c applets/x.c ...
#
# Writes DIR/options.h, table.h, box.h, help/NAME, opts/NAME.h, man/NAME.1, completions/{moorbox.bash,_moorbox,moorbox.fish};
# the directories are there already. A comment that it cannot read ends it: FILE:LINE: message, status 1.
# The grammar is told in docs/new-applet.md. POSIX awk: mawk, gawk, busybox. Run it with LC_ALL=C.
#
# Traps: mawk refuses /[][:]/ ; POSIX awk cannot sort; backslashes in what sub() puts in differ from awk to awk;
# `a != b` among the operands of print wants parentheses.

BEGIN { WIDTH = 80; BOX = "moorbox"; TEXT_COLUMN = 26 }

function bad(msg) {
	printf "%s:%d: %s\n", FILENAME, FNR, msg > "/dev/stderr"
	failed = 1
	exit 1
}
function trim(s) { sub(/^ +/, "", s); sub(/ +$/, "", s); return s }
function indent_of(s) { match(s, /^ */); return RLENGTH }
function spaces(n,  s) { while (length(s) < n) s = s " "; return s }
function escaped(s, which,  i, c, r) {	# a backslash before each of these; sub() would differ from awk to awk
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		r = r (index(which, c) ? "\\" : "") c
	}
	return r
}
function has(list, word) { return index(" " list " ", " " word " ") > 0 }
function add(list, word) { return has(list, word) ? list : trim(list " " word) }

# ---- reading ----

FNR == 1 { reading = 0; is_values = FILENAME ~ /values$/ }

is_values && /^[A-Z]/ {
	tab = index($0, "\t")
	if (!tab) bad("a value is NAME, tab, command")
	value_of[substr($0, 1, tab - 1)] = substr($0, tab + 1)
	value_names = add(value_names, substr($0, 1, tab - 1))
}
is_values { next }

FNR == 1 {
	if ($0 !~ /^\/\* [a-z][a-z0-9-]* - [^ ]/) bad("the first line is not `/* NAME - sentence`")
	if ($0 ~ /\*\//) bad("the head comment has no usage")
	name = $2
	base = FILENAME; sub(/^.*\//, "", base)
	if (base == "main.c") base = BOX ".c"
	if (base != name ".c") bad("this file should be called " name ".c")
	sentence[name] = substr($0, length("/* " name " - ") + 1)
	if (sentence[name] ~ /\.$/) bad("the sentence ends without a full stop")
	id[name] = name; gsub(/-/, "_", id[name])
	if (name != BOX) insert(name)
	reading = 1; mode = ""; blank = 0; cur_sec = ""
	next
}
reading && /^ \*\/$/ {
	reading = 0
	if (!usages[name]) bad("the head comment has no usage")
	next
}
!reading { next }
/\t/ { bad("a tab in the head comment") }
/[^ -~]/ { bad("the head comment is plain ASCII") }
!/^ \*$/ && !/^ \* / { bad("a line of the head comment begins with ` * `") }
{ line(substr($0, 4)) }

function insert(n,  i) {	# keeps applets sorted, as strcmp sorts
	for (i = applets++; i > 0 && (sorted[i - 1] "") > (n ""); i--)
		sorted[i] = sorted[i - 1]
	sorted[i] = n
}

function line(s,  i) {
	if (s ~ /^ *$/) {
		blank = 1
		if (mode != "sec") mode = ""
		return
	}
	if (s ~ /^usage: /) usage(substr(s, 8))
	else if (s ~ /^-/) option(s)
	else if (mode == "opt" && s ~ /^    --[a-z][a-z0-9-]*( [^ ]+)?  +[^ ]/) option(trim(s))	# in line with -x, --long
	else if (s ~ /^(exit|env|files|example|see):/) section(s)
	else if (s ~ /^(examples|environment|exit status|file|see also|options|usages):/)
		bad("sections are exit: env: files: example: see:")
	else if (s ~ /^ /) deeper(s)
	else paragraph(s)
	blank = 0
}
function usage(s) {
	if (s != name && index(s, name " ") != 1) bad("the usage begins with " name)
	mode = "usage"
	usage_of[name, ++usages[name]] = s
}
function option(s,  spec, text, n, w, i, short, long, val) {
	i = match(s, /  +/)
	spec = i ? substr(s, 1, i - 1) : s
	text = i ? trim(substr(s, i)) : ""
	n = split(spec, w, " "); i = 1
	if (w[i] ~ /^-[A-Za-z0-9],$/) {
		short = substr(w[i++], 2, 1)
		if (w[i] !~ /^--/) bad("a long name should follow " w[1])
	} else if (w[i] ~ /^-[A-Za-z0-9]$/) short = substr(w[i++], 2, 1)
	if (w[i] ~ /^--[a-z][a-z0-9-]*$/) long = substr(w[i++], 3)
	if (i <= n) val = w[i++]
	if (i <= n || (short == "" && long == "") || val ~ /^(-|\[|=)/ || val ~ /["\\]/)
		bad("an option is `-x, --long VALUE  text`, two spaces before the text: " spec)
	if (short == "h" || long == "help" || long == "version") bad("-h, --help and --version are everywhere, not listed")
	if (short != "" && seen[name, "-" short]++) bad("-" short " is there twice")
	if (long != "" && seen[name, "--" long]++) bad("--" long " is there twice")
	mode = "opt"
	i = ++options[name]
	opt_short[name, i] = short; opt_long[name, i] = long; opt_val[name, i] = val; opt_text[name, i] = text
	opt_at = FNR
	if (short == "" && !seen_long[long]++) insert_long(long)
	if (val != "") takes[name, short != "" ? "-" short : "--" long] = 1
	if (val != "" && long != "") takes[name, "--" long] = 1
}
function insert_long(n,  i) {
	for (i = longs++; i > 0 && (long_sorted[i - 1] "") > (n ""); i--)
		long_sorted[i] = long_sorted[i - 1]
	long_sorted[i] = n
}
function section(s,  i) {
	i = index(s, ":")
	cur_sec = substr(s, 1, i - 1)
	s = trim(substr(s, i + 1))
	if (!sec_lines[name, cur_sec]) secs[name] = trim(secs[name] " " cur_sec)
	mode = "sec"
	if (s != "") sec_line[name, cur_sec, ++sec_lines[name, cur_sec]] = s
	else if (!sec_lines[name, cur_sec]) sec_lines[name, cur_sec] = 0
}
function deeper(s,  i) {
	if (mode == "usage") usage_of[name, usages[name]] = usage_of[name, usages[name]] " " trim(s)
	else if (mode == "opt") { i = options[name]; opt_text[name, i] = trim(opt_text[name, i] " " trim(s)) }
	else if (mode == "sec") sec_line[name, cur_sec, ++sec_lines[name, cur_sec]] = s
	else {
		mode = "literal"
		if (par_kind[name, pars[name]] != "literal" || blank) par_kind[name, ++pars[name]] = "literal"
		i = pars[name]
		par_text[name, i] = par_text[name, i] (par_text[name, i] == "" ? "" : "\n") s
	}
}
function paragraph(s,  i) {
	if (mode != "" && mode != "par" && !blank) bad("a blank line, or deeper indentation, is missing")
	if (mode != "par" || blank) par_kind[name, ++pars[name]] = "par"
	mode = "par"
	i = pars[name]
	par_text[name, i] = trim(par_text[name, i] " " trim(s))
}

# ---- help ----

# text in lines of WIDTH: the first begins with head, the others are indented by n.
function wrap(head, text, n,  w, i, k, cur, all) {
	k = split(text, w, " ")
	cur = head
	for (i = 1; i <= k; i++) {
		if (i > 1 && length(cur) + 1 + length(w[i]) > WIDTH) {
			all = all cur "\n"
			cur = spaces(n) w[i]
		} else
			cur = cur (i > 1 ? " " : "") w[i]
	}
	return all cur "\n"
}
function spec_of(a, i,  s) {
	s = opt_short[a, i] != "" ? "-" opt_short[a, i] : "   "
	if (opt_long[a, i] != "") s = s (opt_short[a, i] != "" ? ", --" : " --") opt_long[a, i]
	return s (opt_val[a, i] != "" ? " " opt_val[a, i] : "")
}
function help(a,  h, i, j, k, n, col, s, list, item, ind) {
	for (i = 1; i <= usages[a]; i++)
		h = h wrap("usage: ", usage_of[a, i], length("usage: " a " "))
	h = h "\n" wrap("", a ": " sentence[a], 2)
	for (i = 1; i <= options[a]; i++) {
		n = length(spec_of(a, i))
		if (n > col && n <= TEXT_COLUMN) col = n
	}
	for (i = 1; i <= options[a]; i++) {
		s = "  " spec_of(a, i)
		if (i == 1) h = h "\n"
		h = h (length(s) > col + 2 ? s "\n" wrap(spaces(col + 4), opt_text[a, i], col + 4) \
			: wrap(s spaces(col + 4 - length(s)), opt_text[a, i], col + 4))
	}
	for (i = 1; i <= pars[a]; i++)
		h = h "\n" (par_kind[a, i] == "literal" ? par_text[a, i] "\n" : wrap("", par_text[a, i], 0))
	k = split(secs[a], list, " ")
	for (i = 1; i <= k; i++) {
		h = h (i == 1 || sec_lines[a, list[i]] > 1 ? "\n" : "")
		for (j = 1; j <= sec_lines[a, list[i]]; j++) {
			s = sec_line[a, list[i], j]
			ind = indent_of(s)
			item = j == 1 ? list[i] ":" : ""
			if (j == 1 && ind) { h = h item "\n"; item = "" }
			if (list[i] == "example") h = h item (item == "" ? (ind ? "" : "         ") : " ") s "\n"
			else if (is_item(s)) {
				item = item (item == "" ? spaces(ind) : " ")
				s = trim(s)
				n = match(s, /  +/)
				item = spaces_after(item substr(s, 1, n - 1), column_of(a, list[i]))
				h = h wrap(item, trim(substr(s, n)), length(item))
			} else
				h = h wrap(item == "" ? spaces(indent_of(s)) : item " ", trim(s), \
					item == "" ? indent_of(s) : length(item) + 1)
		}
	}
	return h
}
function spaces_after(s, n) { return length(s) + 2 > n ? s "  " : s spaces(n - length(s)) }
function column_of(a, sec,  i, n, s, max) {	# where the texts of a list of items begin
	for (i = 1; i <= sec_lines[a, sec]; i++) {
		s = sec_line[a, sec, i]
		if (!is_item(s)) continue
		n = indent_of(s); s = trim(s)
		n += match(s, /  +/) + 1
		if (n > max && n <= TEXT_COLUMN) max = n
	}
	return max
}
function is_item(s) { return s ~ /^ *[^ ]+( [^ ]+)*   *[^ ]/ && match(trim(s), /  +/) }

# ---- C ----

function c_text(s) { return escaped(s, "\\\"") }
function opt_id(long) { gsub(/-/, "_", long); return "OPT_" toupper(long) }
function write_opts(a,  f, i) {
	f = out "/opts/" a ".h"
	printf "/* made by scripts/gen.awk from the head comment of %s */\n", a > f
	print "#include \"opt.h\"\n#include \"options.h\"\n" > f
	if (a != BOX) printf "int %s_main(char **argv);\n\n", id[a] > f
	print "static const struct opt_def opts[] = {" > f
	for (i = 1; i <= options[a]; i++)
		printf "\t{ \"%s\", %s, %d },\n", opt_long[a, i], \
			(opt_short[a, i] != "" ? "'" opt_short[a, i] "'" : opt_id(opt_long[a, i])), (opt_val[a, i] != "") > f
	print "\t{ 0, 0, 0 }\n};" > f
	close(f)
}
function write_help(a, name,  f) {	# scripts/gen makes help.h of it
	f = out "/help/" name
	printf "%s", help(a) > f
	close(f)
}
function write_c(  f, i, a) {
	f = out "/options.h"
	print "/* made by scripts/gen.awk: the codes of options that have no letter */" > f
	print "#ifndef OPTIONS_H\n#define OPTIONS_H\n\nenum {\n\tOPT_FIRST_LONG = 256," > f
	for (i = 0; i < longs; i++) printf "\t%s,\n", opt_id(long_sorted[i]) > f
	print "};\n\n#endif" > f
	close(f)
	f = out "/table.h"
	print "/* made by scripts/gen.awk: APPLET(id, name, sentence), sorted by name */" > f
	for (i = 0; i < applets; i++) {
		a = sorted[i]
		printf "APPLET(%s, \"%s\", \"%s\")\n", id[a], a, c_text(sentence[a]) > f
		write_help(a, id[a])
	}
	close(f)
	write_help(BOX, "box")
	f = out "/box.h"
	printf "/* made by scripts/gen.awk from main.c */\n#define BOX_VERSION \"%s\"\n", version > f
	printf "#define BOX_SENTENCE \"%s\"\n", c_text(sentence[BOX]) > f
	close(f)
}

# ---- man pages (mdoc) ----

function escaped_roff(s,  i, c, r) {
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		r = r (c == "\\" ? "\\e" : c)
	}
	return r
}
function roff(s) {	# one line of text
	s = escaped_roff(s)
	return s ~ /^[.']/ ? "\\&" s : s
}
function man_text(f, text,  n, l, i, cur) {
	n = split(text, l, " ")
	for (i = 1; i <= n; i++) {
		cur = cur (cur == "" ? "" : " ") (l[i] ~ /^(\[|\(|`)*-/ ? man_dash(l[i]) : escaped_roff(l[i]))
		if (i == n || length(cur) + length(l[i + 1]) > 72 || (l[i] ~ /[A-Za-z)0-9`'"][.!?]$/ && l[i] !~ /^(e\.g|i\.e)\.$/)) {
			print (cur ~ /^[.']/ ? "\\&" : "") cur > f
			cur = ""
		}
	}
}
function man_literal(f, text,  n, l, i, least) {
	print ".Bd -literal -offset indent" > f
	n = split(text, l, "\n")
	least = 99
	for (i = 1; i <= n; i++) if (indent_of(l[i]) < least) least = indent_of(l[i])
	for (i = 1; i <= n; i++) print man_dash(substr(l[i], least + 1)) > f
	print ".Ed" > f
}
function man_dash(s,  r, i, c) {
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		r = r (c == "\\" ? "\\e" : c == "-" ? "\\-" : c)
	}
	return r ~ /^[.']/ ? "\\&" r : r
}
function man_items(f, a, sec, macro,  i, s, n, in_list, text) {
	for (i = 1; i <= sec_lines[a, sec]; i++) {
		s = sec_line[a, sec, i]
		if (is_item(s)) {
			if (text != "") man_text(f, text)
			text = ""
			if (!in_list++) print ".Bl -tag -width Ds" > f
			s = trim(s); n = match(s, /  +/)
			printf ".It %s%s\n", macro, roff(substr(s, 1, n - 1)) > f
			text = trim(substr(s, n))
		} else
			text = trim(text " " trim(s))
	}
	if (text != "") man_text(f, text)
	if (in_list) print ".El" > f
}
function page_key(s) {	# mandoc wants section, then name
	return s ~ /^https?:/ ? "z" s : s ~ /\([1-9]\)$/ ? substr(s, length(s) - 1, 1) s : "1" s
}
function man_see(f, a,  i, n, w, list, k, s, v) {
	for (i = 1; i <= sec_lines[a, "see"]; i++) s = s " " sec_line[a, "see", i]
	gsub(/,/, " ", s)
	if (a != BOX) s = s " " BOX
	n = split(s, w, " ")
	for (i = 1; i <= n; i++) {
		for (k = i; k > 1 && page_key(list[k - 1]) > page_key(w[i]); k--) list[k] = list[k - 1]
		list[k] = w[i]
	}
	if (!n) return
	print ".Sh SEE ALSO" > f
	for (i = 1; i <= n; i++) {
		s = list[i]; k = 1
		if (s ~ /^https?:/) { printf "%s.Lk %s", (v++ ? " ,\n" : ""), s > f; continue }
		if (s ~ /\([1-9]\)$/) { k = substr(s, length(s) - 1, 1); s = substr(s, 1, length(s) - 3) }
		else if (!(s in id)) continue		# lint says so
		printf "%s.Xr %s %d", (v++ ? " ,\n" : ""), s, k > f
	}
	print "" > f
}
function write_man(a,  f, i, v, n, k) {
	f = out "/man/" a ".1"
	printf ".\\\" made by scripts/gen.awk\n.Dd %s\n.Dt %s 1\n.Os\n.Sh NAME\n.Nm %s\n.Nd %s\n.Sh SYNOPSIS\n", \
		date, toupper(a), a, roff(sentence[a]) > f
	for (i = 1; i <= usages[a]; i++) {
		v = trim(substr(usage_of[a, i], length(a) + 1))
		print ".Nm " a > f
		if (v != "") man_text(f, v)
	}
	print ".Sh DESCRIPTION" > f
	if (!pars[a]) printf "The\n.Nm\nprogram: %s.\n", roff(sentence[a]) > f
	for (i = 1; i <= pars[a]; i++) {
		if (par_kind[a, i] == "literal") { man_literal(f, par_text[a, i]); continue }
		if (i > 1) print ".Pp" > f
		man_text(f, par_text[a, i])
	}
	if (a == BOX) {
		print ".Pp\nThe applets are:\n.Bl -tag -width keygen-check" > f
		for (i = 0; i < applets; i++) printf ".It Xr %s 1\n%s\n", sorted[i], roff(sentence[sorted[i]]) > f
		if (!applets) print ".It none" > f
		print ".El" > f
	}
	print ".Sh OPTIONS\n.Bl -tag -width Ds" > f
	for (i = 1; i <= options[a]; i++) {
		v = ".It"
		if (opt_short[a, i] != "") v = v " Fl " opt_short[a, i]
		if (opt_long[a, i] != "") v = v (opt_short[a, i] != "" ? " ," : "") " Fl -" opt_long[a, i]
		if (opt_val[a, i] != "") v = v " Ar " opt_val[a, i]
		print v > f
		man_text(f, opt_text[a, i])
	}
	print ".It Fl h , Fl -help\nprint the help and end\n.It Fl -version\nprint the version and end\n.El" > f
	if (sec_lines[a, "env"]) { print ".Sh ENVIRONMENT" > f; man_items(f, a, "env", "Ev ") }
	if (sec_lines[a, "files"]) { print ".Sh FILES" > f; man_items(f, a, "files", "Pa ") }
	if (sec_lines[a, "exit"]) { print ".Sh EXIT STATUS" > f; man_items(f, a, "exit", "") }
	if (sec_lines[a, "example"]) {
		v = ""
		for (i = 1; i <= sec_lines[a, "example"]; i++) {
			n = sec_line[a, "example", i]
			if (i == 1 || indent_of(n) != 0 && indent_of(sec_line[a, "example", i - 1]) == 0) k = indent_of(n)
			v = v (v == "" ? "" : "\n") (indent_of(n) < k ? trim(n) : substr(n, k + 1))
			if (indent_of(n) == 0) k = 0
		}
		print ".Sh EXAMPLES" > f
		man_literal(f, v)
	}
	man_see(f, a)
	close(f)
}

# ---- completions ----

function metavar(s) { return match(s, /^[A-Z][A-Z0-9_]*/) ? substr(s, 1, RLENGTH) : "" }
function kind(v) {	# what completes a metavariable: a shell's own word, or a line of completions/values
	if (v ~ /^(FILE|BUNDLE|LIST|OUTPUT|PATH|BINARY|SOCKET|PEM|KEYRING|LOCK)$/) return "FILE"
	if (v ~ /^(DIR|PREFIX|FOLDER)$/) return "DIR"
	if (v ~ /^(CMD|COMMAND)$/) return "CMD"
	return v in value_of ? v : ""
}
function operands(a,  u, n, w, i, k, alt, j, skip, s, list) {
	for (u = 1; u <= usages[a]; u++) {
		s = usage_of[a, u]
		gsub(/\[|\]|\.\.\./, " ", s)
		n = split(s, w, " ")
		for (i = 2; i <= n; i++) {
			if (skip) { skip = 0; continue }
			if (w[i] ~ /^--./) { skip = takes[a, w[i]]; continue }
			if (w[i] ~ /^-./) { skip = takes[a, "-" substr(w[i], length(w[i]), 1)]; continue }
			k = split(w[i], alt, "|")
			for (j = 1; j <= k; j++)
				if (kind(metavar(alt[j])) != "") list = add(list, kind(metavar(alt[j])))
		}
		skip = 0
	}
	return list
}
function sh_text(s) { gsub(/'/, "'\\''", s); return "'" s "'" }
function names_all(  i, s) { for (i = 0; i < applets; i++) s = trim(s " " sorted[i]); return s }
function flags(a,  i, s) {
	for (i = 1; i <= options[a]; i++) {
		if (opt_short[a, i] != "") s = s " -" opt_short[a, i]
		if (opt_long[a, i] != "") s = s " --" opt_long[a, i]
	}
	return trim(s " --help --version")
}
function write_bash(  f, i, j, a, n, v, p, k) {
	f = out "/completions/moorbox.bash"
	print "# bash completion for moorbox; made by scripts/gen.awk" > f
	print "_moorbox_flags() {\n\tcase $1 in" > f
	for (i = -1; i < applets; i++) {
		a = i < 0 ? BOX : sorted[i]
		printf "\t%s) echo %s ;;\n", a, sh_text(flags(a)) > f
	}
	print "\tesac\n}\n# what completes the value of an option\n_moorbox_value() {\n\tcase \"$1 $2\" in" > f
	for (i = -1; i < applets; i++) {
		a = i < 0 ? BOX : sorted[i]
		for (j = 1; j <= options[a]; j++) {
			if (opt_val[a, j] == "") continue
			p = opt_short[a, j] != "" ? "\"" a " -" opt_short[a, j] "\"" : ""
			if (opt_long[a, j] != "") p = p (p == "" ? "" : "|") "\"" a " --" opt_long[a, j] "\""
			k = kind(metavar(opt_val[a, j]))
			printf "\t%s) echo %s ;;\n", p, (k == "" ? "NONE" : k) > f
		}
	}
	print "\tesac\n}\n_moorbox_operands() {\n\tcase $1 in" > f
	for (i = -1; i < applets; i++) {
		a = i < 0 ? BOX : sorted[i]
		printf "\t%s) echo %s ;;\n", a, sh_text(operands(a)) > f
	}
	print "\tesac\n}\n_moorbox_words() {\n\tcase $1 in" > f
	n = split(value_names, v, " ")
	for (i = 1; i <= n; i++) printf "\t%s) %s ;;\n", v[i], value_of[v[i]] > f
	print "\tesac\n}" > f
	print "_moorbox() {" > f
	print "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} app=${COMP_WORDS[0]##*/} i at=1 kinds kind" > f
	print "\tCOMPREPLY=()" > f
	print "\tif [ \"$app\" = moorbox ]; then" > f
	printf "\t\tif [ \"$COMP_CWORD\" = 1 ] && [ \"${cur#-}\" = \"$cur\" ]; then\n\t\t\tmapfile -t COMPREPLY < <(compgen -W %s -- \"$cur\")\n\t\t\treturn\n\t\tfi\n", sh_text(names_all() " help reasons") > f
	print "\t\tif [ \"${COMP_WORDS[1]}\" = help ]; then" > f
	printf "\t\t\tmapfile -t COMPREPLY < <(compgen -W %s -- \"$cur\")\n\t\t\treturn\n\t\tfi\n", sh_text(names_all()) > f
	print "\t\tif [ \"${COMP_WORDS[1]}\" = reasons ]; then" > f
	print "\t\t\tmapfile -t COMPREPLY < <(compgen -W \"-j --json $(moorbox reasons 2>/dev/null | cut -f1)\" -- \"$cur\")\n\t\t\treturn\n\t\tfi" > f
	print "\t\tcase ${COMP_WORDS[1]} in -*|help|reasons) ;; *) app=${COMP_WORDS[1]} at=2 ;; esac" > f
	print "\tfi" > f
	print "\tkinds=$(_moorbox_operands \"$app\")" > f
	print "\tfor ((i = at; i < COMP_CWORD; i++)); do" > f
	print "\t\t[ \"${COMP_WORDS[i]}\" = -- ] && kinds='CMD FILE'" > f
	print "\tdone" > f
	print "\tcase $prev in -*) kind=$(_moorbox_value \"$app\" \"$prev\") ;; esac" > f
	print "\tif [ -n \"$kind\" ]; then\n\t\tkinds=$kind" > f
	print "\telif [ \"${cur#-}\" != \"$cur\" ]; then\n\t\tmapfile -t COMPREPLY < <(compgen -W \"$(_moorbox_flags \"$app\")\" -- \"$cur\")\n\t\treturn\n\tfi" > f
	print "\tfor kind in $kinds; do\n\t\tcase $kind in" > f
	print "\t\tFILE) mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$cur\") ;;" > f
	print "\t\tDIR) mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- \"$cur\") ;;" > f
	print "\t\tCMD) mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -c -- \"$cur\") ;;" > f
	print "\t\t*) mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W \"$(_moorbox_words \"$kind\" 2>/dev/null)\" -- \"$cur\") ;;" > f
	print "\t\tesac\n\tdone\n}" > f
	printf "complete -F _moorbox %s\n", (BOX (applets ? " " names_all() : "")) > f
	close(f)
}
function zsh_text(s) { gsub(/\[/, "(", s); gsub(/\]/, ")", s); gsub(/:/, " -", s); return s }
function zsh_action(k) {
	return k == "FILE" ? "_files" : k == "DIR" ? "_files -/" : k == "CMD" ? "_command_names -e" : k == "" ? " " : "{_moorbox_words " k "}"
}
function write_zsh(  f, i, j, a, n, v, s, x, y, k) {
	f = out "/completions/_moorbox"
	printf "#compdef %s\n# zsh completion for moorbox; made by scripts/gen.awk\n", (BOX (applets ? " " names_all() : "")) > f
	print "_moorbox_words() {\n\tlocal -a words_\n\tcase $1 in" > f
	n = split(value_names, v, " ")
	for (i = 1; i <= n; i++) printf "\t%s) words_=(${(f)\"$(%s)\"}) ;;\n", v[i], value_of[v[i]] > f
	print "\tesac\n\tcompadd -a words_\n}" > f
	print "_moorbox_applets() {\n\tlocal -a list_=(" > f
	for (i = 0; i < applets; i++) printf "\t\t%s\n", sh_text(sorted[i] ":" zsh_text(sentence[sorted[i]])) > f
	print "\t\t'help:print the help of an applet'\n\t\t'reasons:list the reason words'\n\t)\n\t_describe applet list_\n}" > f
	print "_moorbox() {\n\tlocal app=${service}\n\tif [[ $app = moorbox ]] && (( CURRENT > 2 )) && [[ ${words[2]} != -* ]]; then" > f
	print "\t\tapp=${words[2]}\n\t\tshift words\n\t\t(( CURRENT-- ))\n\tfi\n\tcase $app in" > f
	for (i = -1; i < applets; i++) {
		a = i < 0 ? BOX : sorted[i]
		printf "\t%s) _arguments -s", a > f
		for (j = 1; j <= options[a]; j++) {
			x = opt_short[a, j] != "" ? "-" opt_short[a, j] : ""
			y = opt_long[a, j] != "" ? "--" opt_long[a, j] : ""
			s = "[" zsh_text(opt_text[a, j]) "]"
			if (opt_val[a, j] != "") s = s ":" zsh_text(opt_val[a, j]) ":" zsh_action(kind(metavar(opt_val[a, j])))
			if (x != "") printf " \\\n\t\t%s", sh_text("*" x s) > f
			if (y != "") printf " \\\n\t\t%s", sh_text("*" y s) > f
		}
		if (a == BOX) printf " \\\n\t\t'1:applet:_moorbox_applets' '*:applet:_moorbox_applets'" > f
		else {
			n = split(operands(a), v, " "); s = ""
			for (k = 1; k <= n; k++) s = s (k > 1 ? "; " : "") zsh_plain(v[k])
			printf " \\\n\t\t%s", (sh_text("*:operand:" (s == "" ? " " : "{" s "}"))) > f
		}
		print " ;;" > f
	}
	print "\treasons) local -a list_=(${(f)\"$(moorbox reasons 2>/dev/null | cut -f1)\"}); compadd -a list_ ;;" > f
	print "\thelp) _moorbox_applets ;;\n\tesac\n}\n_moorbox \"$@\"" > f
	close(f)
}
function zsh_plain(k) {
	return k == "FILE" ? "_files" : k == "DIR" ? "_files -/" : k == "CMD" ? "_command_names -e" : "_moorbox_words " k
}
function fish_text(s) { return "'" escaped(s, "\\'") "'" }
function fish_action(k) {
	return k == "FILE" ? " -F" : k == "DIR" ? " -x -a '(__fish_complete_directories)'" : \
		k == "CMD" ? " -x -a '(__fish_complete_command)'" : k == "" ? " -x" : " -x -a '(_moorbox_words " k ")'"
}
function write_fish(  f, i, j, a, n, v, s, cond, p) {
	f = out "/completions/moorbox.fish"
	print "# fish completion for moorbox; made by scripts/gen.awk" > f
	print "function _moorbox_words\n\tswitch $argv[1]" > f
	n = split(value_names, v, " ")
	for (i = 1; i <= n; i++) printf "\tcase %s\n\t\tsh -c %s\n", v[i], fish_text(value_of[v[i]]) > f
	print "\tend\nend\nfunction _moorbox_first\n\ttest (count (commandline -opc)) -eq 1\nend" > f
	print "function _moorbox_in\n\tset -l w (commandline -opc)\n\ttest (count $w) -gt 1; and test $w[2] = $argv[1]\nend" > f
	print "complete -c moorbox -f" > f
	for (i = 0; i < applets; i++)
		printf "complete -c moorbox -n _moorbox_first -a %s -d %s\n", sorted[i], fish_text(sentence[sorted[i]]) > f
	printf "complete -c moorbox -n '_moorbox_in help' -a %s\n", fish_text(names_all()) > f
	print "complete -c moorbox -n _moorbox_first -a 'help reasons'" > f
	print "complete -c moorbox -n '_moorbox_in reasons' -a '(moorbox reasons 2>/dev/null | cut -f1)'" > f
	for (i = -1; i < applets; i++) {
		a = i < 0 ? BOX : sorted[i]
		for (p = 0; p < (i < 0 ? 1 : 2); p++) {
			cond = i < 0 ? "moorbox -n _moorbox_first" : p ? "moorbox -n '_moorbox_in " a "'" : a
			for (j = 1; j <= options[a]; j++) {
				s = "complete -c " cond
				if (opt_short[a, j] != "") s = s " -s " opt_short[a, j]
				if (opt_long[a, j] != "") s = s " -l " opt_long[a, j]
				if (opt_val[a, j] != "") s = s fish_action(kind(metavar(opt_val[a, j])))
				printf "%s -d %s\n", s, fish_text(opt_text[a, j]) > f
			}
			if (i < 0) continue
			n = split(operands(a), v, " ")
			if (!has(operands(a), "FILE")) printf "complete -c %s -f\n", cond > f
			for (j = 1; j <= n; j++)
				if (v[j] != "FILE") {
					s = fish_action(v[j]); sub(/^ -x/, "", s)
					printf "complete -c %s%s\n", cond, s > f
				}
		}
	}
	close(f)
}

END {
	if (failed) exit 1
	if (!(BOX in id)) { print "gen.awk: main.c is missing" > "/dev/stderr"; exit 1 }
	write_c()
	write_opts(BOX); write_man(BOX)
	for (i_ = 0; i_ < applets; i_++) { write_opts(sorted[i_]); write_man(sorted[i_]) }
	write_bash(); write_zsh(); write_fish()
	exit failed
}
