# lint.awk - the rules of this tree that a machine can check; run by scripts/lint
#
# Reads lib/LAYERS, then C files, reasons.def, tests, scripts. Each breach is FILE:LINE: what; status 1.

function breach(line, msg) { printf "%s:%d: %s\n", FILENAME, line, msg; breaches++ }
function note(msg) { if (strict + 0) { print msg; breaches++ } else notes = notes "\n" msg }

FNR == 1 {
	finish_file()
	path = FILENAME
	kind = path ~ /LAYERS$/ ? "layers" : path ~ /\.test$/ ? "test" : path ~ /reasons\.def$/ ? "reasons" : path ~ /\.[ch]$/ ? "c" : "text"
	n = split(path, part, "/")
	file = part[n]
	room = part[1] == "lib" ? part[2] : part[1]
	module = file; sub(/\.[^.]*$/, "", module)
	in_comment = head = switching = commented = 0
	delete_all()
	if (kind == "c" && part[1] == "lib" && !((room, module) in place)) breach(1, "lib/LAYERS does not list " room "/" module)
	if (kind == "c") {
		want = path ~ /reasons/ ? "" : room == "main.c" ? "moorbox" : module
		if ($0 !~ /^\/\* [a-z]/ || (want != "" && index($0, "/* " want " - ") != 1 && part[1] != "tests"))
			breach(1, "the first line is /* " want " - what it is")
	}
}
function delete_all(  k) {	# of the file before
	for (k in declared) delete declared[k]
	for (k in cased) { delete cased[k]; delete in_options[k] }
}

# ---- every file ----

# (a case of a test and a reason are rows of tables)
length($0) > 140 && kind != "test" && kind != "reasons" && path !~ /\.awk$|^deps\/build$/ {
	breach(FNR, "longer than 140 columns (" length($0) ")")
}
/[ \t]$/ { breach(FNR, "blanks at the end") }
path !~ /lint\.awk$/ && /TODO|FIXME|XXX:|HACK:/ { breach(FNR, "unfinished: " $0) }
path !~ /lint\.awk$/ && /(^|[^A-Za-z0-9_.])\/(work|farm|root|home\/[a-z]+)\// { breach(FNR, "a path of one machine") }

# ---- the order ----

kind == "layers" && /^[a-z]+:/ {
	r = $1; sub(/:$/, "", r)
	if (!(r in height)) height[r] = ++rooms
	for (i = 2; i <= NF; i++) { place[r, $i] = ++placed[r]; room_of[$i] = r }
	next
}
kind == "reasons" && /^R\(/ {
	s = $0; sub(/^R\( */, "", s); sub(/,.*/, "", s)
	w = $0; sub(/^[^"]*"/, "", w); sub(/".*/, "", w)
	word[s] = w; next
}
kind == "test" { tests_text = 1; mark_words($0) }
function mark_words(s) {
	while (match(s, /[a-z]+(-[a-z]+)*/)) {
		tested[substr(s, RSTART, RLENGTH)] = 1
		s = substr(s, RSTART + RLENGTH)
	}
}

kind != "c" { next }

# ---- C ----

{
	if (FNR == 1) head = 1
	if (head && room == "applets" || head && path == "main.c") head_line($0)
	if (head && /\*\//) head = 0
	code = strip($0)
}
code ~ /^#[ \t]*include/ { include_line($0); next }
{
	body(code)
	if (file ~ /\.h$/) header_line($0, code)
}

# The code of a line without comments and the insides of literals.
function strip(s,  r, i, c, two, q) {
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1); two = substr(s, i, 2)
		if (in_comment) { if (two == "*/") { in_comment = 0; i++ } }
		else if (q != "") { if (c == "\\") { r = r "_"; i++ } else if (c == q) { q = ""; r = r c } else r = r (q == "'" ? c : "_") }
		else if (two == "/*") { in_comment = 1; i++ }
		else if (two == "//") break
		else { if (c == "\"" || c == "'") q = c; r = r c }
	}
	return r
}
function head_line(s,  n, w, i) {
	sub(/^ \* ?/, "", s)
	if (room == "applets") is_applet[module] = 1
	if (s ~ /^see:/) {
		n = split(s, w, /[ ,]+/)
		for (i = 2; i <= n; i++) if (w[i] ~ /^[a-z-]+$/) sees[w[i]] = path ":" FNR
	}
	sub(/^    --/, "--", s)
	if (s !~ /^-/) return
	sub(/  .*/, "", s)
	n = split(s, w, /[ ,]+/)
	if (w[1] ~ /^-[A-Za-z0-9]$/) declared[substr(w[1], 2, 1)] = FNR
	else if (w[1] ~ /^--/) { i = toupper(substr(w[1], 3)); gsub(/-/, "_", i); declared["OPT_" i] = FNR }
}
function include_line(s,  h, m, r) {
	h = s
	sub(/^#[ \t]*include[ \t]*/, "", h)
	if (h ~ /^<curl\// && path != "lib/means/http.c") breach(FNR, "libcurl is lib/means/http.c's alone")
	if (h ~ /^<sodium/ && path != "lib/means/sign.c" && part[1] != "tests") breach(FNR, "libsodium is lib/means/sign.c's alone")
	if (h ~ /^<archive/ && path != "lib/means/unpack.c") breach(FNR, "libarchive is lib/means/unpack.c's alone")
	if (h ~ /^[<"]jsmn\.h/ && path != "lib/means/json.c") breach(FNR, "jsmn is lib/means/json.c's alone")
	if (h !~ /^"/) return
	gsub(/"/, "", h)
	if (h ~ /^opts\//) {
		m = h; sub(/^opts\//, "", m)
		if (room == "applets" && m != module ".h") breach(FNR, "an applet's options are its own")
		return
	}
	if (h ~ /applets\// && part[1] != "tests") breach(FNR, "applets do not know one another")
	if (h ~ /\.c$/ && part[1] != "tests") breach(FNR, "a .c file is not included")
	m = h; sub(/\.h$/, "", m)
	r = room_of[m]
	if (r == "" || part[1] != "lib" || m == module) return
	if (height[r] > height[room]) breach(FNR, room " is below " r ": it may not use " m)
	else if (r == room && (room != "base" || file ~ /\.h$/) && \
	    ((room, module) in place) && place[r, m] > place[room, module]) breach(FNR, m " comes after " module " in lib/LAYERS")
}
function body(s,  t, p) {
	while (match(s, /R_[A-Z][A-Z_0-9]*/)) {
		if (path !~ /err\.h$/) used[substr(s, RSTART + 2, RLENGTH - 2)] = 1
		s = substr(s, 1, RSTART - 1) "." substr(s, RSTART + RLENGTH)
	}
	if (s ~ /opt_next *\(/) switching = 1
	if (switching == 1 && match(s, /^\t*switch/)) { switching = 2; closing = s; sub(/switch.*/, "}", closing) }
	else if (switching == 2 && s == closing) switching = 0
	t = s
	while (match(t, /case +('[^']'|OPT_[A-Z_0-9]+)/)) {
		p = substr(t, RSTART, RLENGTH); sub(/^case +/, "", p); gsub(/'/, "", p)
		if (!(p in cased)) { cased[p] = FNR; in_options[p] = switching }
		t = substr(t, RSTART + RLENGTH)
	}
	if ((room == "means" || room == "tailnet") && part[1] == "lib" && s !~ /^[ \t]*#/ && \
	    match(s, /(^|[^A-Za-z0-9_.>])(printf|puts|putchar|fputs|vprintf|perror|warn|warn_why|die|die_why|say|hint|exit|opt_usage) *\(/))
		breach(FNR, "means and tailnet answer with struct why: they neither print nor exit")
}
# A public function has words beside it, above it, or above the group it stands in.
function header_line(raw, s) {
	if (raw ~ /^[ \t]*$/) commented = 0
	if (raw ~ /\/\*/) commented = 1
	if (raw ~ /^ \*/ || in_comment) commented = 1
	if (s ~ /^[A-Za-z_][A-Za-z0-9_ *]*[ *][a-z_0-9]+\(.*/ && s !~ /^(static|typedef|enum|struct [a-z_]+ *\{)/ && !commented)
		breach(FNR, "a public function without a comment")
}
function finish_file(  k, short_of) {
	if (kind != "c" || (room != "applets" && path != "main.c")) return
	for (k in declared) if (!(k in cased) && k !~ /^[qv]$/) {	# opt.c sees to -q and -v
		printf "%s:%d: option %s has no case\n", path, declared[k], k
		breaches++
	}
	for (k in cased) if (!(k in declared) && in_options[k]) {
		printf "%s:%d: case %s is no option of the head comment\n", path, cased[k], k
		breaches++
	}
}

END {
	finish_file()
	for (s in sees) if (!(s in is_applet) && s != "moorbox") {
		printf "%s: see: there is no applet %s (another page is written name(8))\n", sees[s], s
		breaches++
	}
	for (s in word) {
		if (!(s in used)) note("reasons.def: " word[s] " is used nowhere")
		if (!(word[s] in tested)) note("reasons.def: " word[s] " is in no test")
	}
	if (notes != "") {
		n = split(notes, l, "\n")
		printf "lint: %d notes on reason words (STRICT=1 lists them as errors)\n", n - 1
	}
	if (breaches) { printf "lint: %d breaches\n", breaches; exit 1 }
	print "lint: clean"
}
