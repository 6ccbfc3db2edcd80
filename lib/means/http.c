/* http - requests over unix sockets and the network, one or many at once, and streams of lines */
#include "http.h"
#include "alloc.h"
#include "clock.h"
#include "roots.h"
#include "str.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The pinned libcurl stands on mbedTLS; libcurl of a glibc system is only used for development. */
#if __has_include(<mbedtls/build_info.h>) && (!defined __GLIBC__ || defined SYSROOT)
#define HTTP_MBEDTLS 1
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#else
#define HTTP_MBEDTLS 0
#endif

enum {
	HEAD_MAX = 64 << 10,
	ERROR_BODY_MAX = 64 << 10,	/* of a refusal that came instead of what a sink waits for */
	STREAM_AHEAD = 1 << 20,		/* read before the lines are taken */
	REDIRECTS = 5,
	KEPT = 8,			/* idle connections */
};

/* One request on its way. */
struct trip {
	const struct http_req *req;
	struct http_res *res;
	struct why *why;
	CURL *easy;
	struct curl_slist *headers;
	long long began;
	int done;
	CURLcode rc;
	int sunk;			/* the sink was given something */
	int socket_failed;
	struct http_stream *stream;
	char key[96];			/* which daemon: libcurl must not mix their connections */
	char error[CURL_ERROR_SIZE];
	int https_proxy;
	int looked;			/* certificates of this handshake so far */
	int upgraded;			/* 101 came, and was asked for */
	int tls_flags;			/* mbedTLS's MBEDTLS_X509_BADCERT_... of the first bad certificate */
};

static CURLM *multi;
static CURL *spare;			/* an easy handle to use again */
static int tls_used;

static int begin_all(void)
{
	if (multi)
		return 0;
	if (curl_global_init(CURL_GLOBAL_NOTHING) || !(multi = curl_multi_init()))
		return -1;
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)KEPT);
	return 0;
}

void http_forget(void)
{
	/* A TLS connection would be closed with a farewell that ends the parent's session too: left as it is. */
	if (multi && !tls_used) {
		if (spare)
			curl_easy_cleanup(spare);
		curl_multi_cleanup(multi);
	}
	multi = NULL;
	spare = NULL;
}

void http_version(char *dst, size_t size)
{
	const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
	str_fmt(dst, size, "libcurl/%s %s", v->version, v->ssl_version ? v->ssl_version : "");
}

char *http_redact_url(char *dst, size_t size, const char *url)
{
	const char *host = strstr(url, "://");
	host = host ? host + 3 : url;
	size_t n = strcspn(host, "/?#");
	size_t at = n;
	while (at && host[at - 1] != '@')
		at--;
	if (at)
		str_fmt(dst, size, "%.*s***@%s", (int)(host - url), url, host + at);
	else
		str_copy(dst, size, url);
	return dst;
}

static const char *env(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

/* Does NO_PROXY cover host? libcurl's own rules for names; networks are left to libcurl. */
static int is_excepted(const char *host, size_t len)
{
	const char *list = env("no_proxy");
	if (!list)
		list = env("NO_PROXY");
	while (list && *list) {
		list += strspn(list, ", ");
		size_t n = strcspn(list, ", ");
		const char *name = list;
		list += n;
		if (n == 1 && *name == '*')
			return 1;
		while (n && *name == '.')
			name++, n--;
		while (n && name[n - 1] == '.')
			n--;
		if (!n || n > len || strncasecmp(host + len - n, name, n))
			continue;
		if (n == len || host[len - n - 1] == '.')
			return 1;
	}
	return 0;
}

int http_is_excepted(const char *host)
{
	return is_excepted(host, strlen(host));
}

const char *http_proxy(const char *url)
{
	const char *host = strstr(url, "://");
	const char *proxy;
	host = host ? host + 3 : url;
	size_t len = strcspn(host, "/?#");
	for (size_t i = 0; i < len; i++)
		if (host[i] == '@') {
			host += i + 1;
			len -= i + 1;
			i = (size_t)-1;
		}
	if (*host == '[') {
		host++;
		len = strcspn(host, "]");
	} else {
		size_t colon = strcspn(host, ":");
		len = colon < len ? colon : len;
	}
	if (is_excepted(host, len))
		return NULL;
	if (str_starts(url, "https:")) {
		proxy = env("https_proxy");
		proxy = proxy ? proxy : env("HTTPS_PROXY");
	} else {
		proxy = env("http_proxy");
		/* A CGI program is given HTTP_PROXY by whoever sends a "Proxy:" header. */
		if (!proxy && !getenv("REQUEST_METHOD"))
			proxy = env("HTTP_PROXY");
	}
	if (!proxy)
		proxy = env("all_proxy");
	return proxy ? proxy : env("ALL_PROXY");
}

const char *http_ca_file(const char *ca, struct why *why)
{
	return roots_file(ca, why);
}

#if HTTP_MBEDTLS
static int look_at_cert(void *ctx, mbedtls_x509_crt *cert, int depth, uint32_t *flags)
{
	struct trip *t = ctx;
	char name[256];
	if (t->req->flags & HTTP_ANY_CERT) {
		*flags = 0;
		return 0;
	}
	/* What all rests on comes first. */
	if (!t->looked++ && !*flags && !roots_is_built_in(cert->raw.p, cert->raw.len)
	    && mbedtls_x509_dn_gets(name, sizeof name, &cert->subject) > 0)
		str_escape(t->res->anchor, sizeof t->res->anchor, name, strlen(name));
	if (!depth)
		t->looked = 0;		/* a proxy's certificate may be followed by another */
	if (!*flags)
		return 0;
	t->tls_flags |= (int)*flags;
	if (!*t->res->issuer && mbedtls_x509_dn_gets(name, sizeof name, &cert->issuer) > 0)
		str_escape(t->res->issuer, sizeof t->res->issuer, name, strlen(name));
	return 0;
}

static CURLcode set_roots(CURL *easy, void *config, void *ctx)
{
	struct trip *t = ctx;
	(void)easy;
	mbedtls_x509_crt *roots = roots_chain(t->req->ca, t->why);
	if (!roots)
		return CURLE_SSL_CACERT_BADFILE;
	mbedtls_ssl_conf_ca_chain(config, roots, NULL);
	mbedtls_ssl_conf_verify(config, look_at_cert, t);
	return CURLE_OK;
}
#endif

static int set_tls(struct trip *t)
{
	tls_used = 1;
#if HTTP_MBEDTLS
	/* Read here, so that a bad one is told apart; libcurl asks for it at each handshake, a proxy's as well. */
	if (!roots_chain(t->req->ca, t->why)) {
		t->res->fault = HTTP_TLS;
		return -1;
	}
	curl_easy_setopt(t->easy, CURLOPT_SSL_CTX_FUNCTION, set_roots);
	curl_easy_setopt(t->easy, CURLOPT_SSL_CTX_DATA, t);
#else
	const char *file = roots_file(t->req->ca, t->why);
	if (!file && t->why->reason) {
		t->res->fault = HTTP_TLS;
		return -1;
	}
	if (file)
		curl_easy_setopt(t->easy, CURLOPT_CAINFO, file);
	if (file)
		curl_easy_setopt(t->easy, CURLOPT_PROXY_CAINFO, file);
#endif
	if (t->req->flags & HTTP_ANY_CERT) {
		curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	return 0;
}

static curl_socket_t open_unix(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct trip *t = ctx;
	(void)purpose;
	(void)address;
	int dir = t->req->dir ? t->req->dir : AT_FDCWD;
	int fd = dial_unix(dir, t->req->socket, &t->req->who, t->req->deadline, t->why);
	t->socket_failed = fd < 0;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static curl_socket_t open_network(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
	(void)ctx;
	(void)purpose;
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static int is_connected(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
	(void)ctx;
	(void)fd;
	(void)purpose;
	return CURL_SOCKOPT_ALREADY_CONNECTED;
}

/* A connection of the caller's, such as a stream through the tailnet. The name is never opened: it keeps libcurl from
 * resolving the host's. */
static curl_socket_t take_stream(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct trip *t = ctx;
	(void)purpose;
	(void)address;
	int fd = fcntl(t->req->stream, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static void set_stream(struct trip *t)
{
	curl_easy_setopt(t->easy, CURLOPT_UNIX_SOCKET_PATH, "/stream");
	curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, take_stream);
	curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_SOCKOPTFUNCTION, is_connected);
	curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 1L);
}

/* libcurl keeps connections by the name of their socket. Ours is which file it is and who was checked to listen
 * there, so one name with another daemon behind it is another connection. It is never opened. */
static void name_socket(struct trip *t)
{
	const struct http_req *r = t->req;
	struct stat st;
	if (fstatat(r->dir ? r->dir : AT_FDCWD, r->socket, &st, 0))
		memset(&st, 0, sizeof st);
	str_fmt(t->key, sizeof t->key, "/%llx.%llx.%llx.%lx/%x.%x.%x", (unsigned long long)st.st_dev,
	        (unsigned long long)st.st_ino, (unsigned long long)st.st_ctim.tv_sec,
	        (unsigned long)st.st_ctim.tv_nsec,
	        (unsigned)r->who.uid, (unsigned)r->who.pid, (unsigned)r->who.any_uid);
	curl_easy_setopt(t->easy, CURLOPT_UNIX_SOCKET_PATH, t->key);
	curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, open_unix);
	curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_SOCKOPTFUNCTION, is_connected);
	curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
}

static int starts_anew(const char *line, size_t len)
{
	return len > 5 && !memcmp(line, "HTTP/", 5);
}

/* Kept as "name\0value\0", of the last response only: a redirect's or CONNECT's head gives way to it. */
static size_t take_header(char *line, size_t size, size_t n, void *ctx)
{
	struct trip *t = ctx;
	struct buf *head = &t->res->head;
	size_t len = size * n;
	if (starts_anew(line, len)) {
		buf_clear(head);
		return len;
	}
	char *colon = memchr(line, ':', len);
	if (t->req->flags & HTTP_UPGRADE && len <= 2) {
		long status = 0;
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
		t->upgraded = status == 101;
		return t->upgraded ? 0 : len;
	}
	if (!colon || memchr(line, 0, len))
		return len;
	char *value = colon + 1, *end = line + len;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
		end--;
	head->max = HEAD_MAX;
	buf_add(head, line, (size_t)(colon - line));
	buf_ch(head, 0);
	buf_add(head, value, (size_t)(end - value));
	buf_ch(head, 0);
	return head->over ? 0 : len;
}

const char *http_header(const struct http_res *res, const char *name)
{
	const char *found = NULL;
	const char *p = buf_cstr(&res->head), *end = p + res->head.len;
	while (p < end) {
		const char *value = p + strlen(p) + 1;
		if (value >= end)
			break;
		if (!strcasecmp(p, name))
			found = value;
		p = value + strlen(value) + 1;
	}
	return found;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", the only form that is still sent; our libcurl is built without dates. */
static int parse_date(const char *text, long long *unix_s)
{
	struct tm tm = {0};
	const char *end = text ? strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) : NULL;
	if (!end || *end)
		return -1;
	*unix_s = timegm(&tm);
	return 0;
}

int http_date(const struct http_res *res, long long *unix_s)
{
	return parse_date(http_header(res, "Date"), unix_s);
}

long long http_retry_after(const struct http_res *res)
{
	enum { DAY_S = 86400 };
	const char *text = http_header(res, "Retry-After");
	long long s;
	if (!text)
		return -1;
	if (str_num(text, 0, 1LL << 40, &s)) {
		long long now, at;
		if (parse_date(text, &at))
			return -1;
		if (http_date(res, &now))
			now = time(NULL);
		s = at > now ? at - now : 0;
	}
	return (s > DAY_S ? DAY_S : s) * 1000;
}

struct http_stream {
	struct trip trip;
	struct http_req req;
	struct http_res res;
	struct why why;
	struct buf data;
	size_t at;		/* where the next line begins */
	size_t looked;		/* so far there is no newline in it */
	size_t max;
	int paused, is_open;
};

static size_t take_line_bytes(struct http_stream *s, const char *p, size_t len)
{
	size_t waiting = s->data.len - s->at;
	/* Lines wait to be taken: what is on its way may wait too. An unfinished one must go on. */
	if (waiting > STREAM_AHEAD && memchr(s->data.p + s->at, '\n', waiting)) {
		s->paused = 1;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (waiting + len > s->max + STREAM_AHEAD + CURL_MAX_WRITE_SIZE)
		return 0;
	if (s->at) {
		buf_cut(&s->data, s->at);
		s->looked -= s->at;
		s->at = 0;
	}
	return buf_add(&s->data, p, len) ? 0 : len;
}

static size_t take_body(char *p, size_t size, size_t n, void *ctx)
{
	struct trip *t = ctx;
	size_t len = size * n;
	long status = 0;
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	int is_good = status >= 200 && status < 300;
	if (is_good && t->stream)
		return take_line_bytes(t->stream, p, len);
	if (is_good && t->req->sink) {
		t->sunk = 1;
		return t->req->sink(t->req->ctx, p, len) ? 0 : len;
	}
	/* Of a long refusal the beginning is enough. */
	if ((t->stream || t->req->sink) && t->res->body.len + len > ERROR_BODY_MAX)
		return len;
	t->res->body.max = t->req->max;
	return buf_add(&t->res->body, p, len) ? 0 : len;
}

static void add_header(struct trip *t, const char *line)
{
	struct curl_slist *list = curl_slist_append(t->headers, line);
	if (list)
		t->headers = list;
}

static int has_header(const struct http_req *r, const char *name)
{
	size_t n = strlen(name);
	for (int i = 0; r->headers && r->headers[i]; i++)
		if (!strncasecmp(r->headers[i], name, n) && r->headers[i][n] == ':')
			return 1;
	return 0;
}

static void set_body(struct trip *t)
{
	const struct http_req *r = t->req;
	const char *method = r->method ? r->method : "GET";
	int is_post = str_eq(method, "POST");
	for (int i = 0; r->headers && r->headers[i]; i++)
		add_header(t, r->headers[i]);
	if (r->body || is_post) {
		curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
		curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, r->body ? r->body : "");
		curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(r->body ? r->body_len : 0));
		/* libcurl would call it a form, and Go would then parse it as one. */
		if (!has_header(r, "Content-Type"))
			add_header(t, r->body ? "Content-Type: application/json" : "Content-Type:");
		add_header(t, "Expect:");
	}
	if (!is_post && !(str_eq(method, "GET") && !r->body))
		curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, method);
	if (r->socket)
		add_header(t, "Accept:");
	if (t->headers)
		curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
}

static void set_limits(struct trip *t)
{
	const struct http_req *r = t->req;
	CURL *e = t->easy;
	long long left = clock_left(r->deadline);
	if (r->deadline && !t->stream) {
		long ms = left < 1 ? 1 : left > 1LL << 30 ? 1L << 30 : (long)left;
		curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, ms);
		curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, ms);
	}
	if (r->max && !t->stream)
		curl_easy_setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)r->max);
	if (r->stall_s) {
		curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1024L);
		curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)r->stall_s);
		if (!r->deadline)
			curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)r->stall_s);
	}
	if (r->flags & HTTP_REDIRECT) {
		curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
		curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)REDIRECTS);
	}
	if (r->flags & HTTP_FRESH) {
		curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	}
}

static void set_network(struct trip *t, int is_https)
{
	CURL *e = t->easy;
	const char *proxy = t->req->flags & HTTP_NO_PROXY ? NULL : http_proxy(t->req->url);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_network);
	/* Given always, so that of the environment libcurl reads only the networks in NO_PROXY. */
	curl_easy_setopt(e, CURLOPT_PROXY, proxy ? proxy : "");
	t->res->via_proxy = proxy != NULL;
	t->https_proxy = proxy && !strncasecmp(proxy, "https:", 6);
#if CURL_AT_LEAST_VERSION(7, 85, 0)
	const char *allowed = is_https ? "https" : "http,https";
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, is_https ? "https" : "http");
	curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, allowed);
#endif
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
}

static int needs_tls(const struct http_req *r)
{
	const char *proxy = r->flags & HTTP_NO_PROXY || r->stream ? NULL : http_proxy(r->url);
	if (r->socket)
		return 0;
	return str_starts(r->url, "https:") || r->flags & HTTP_REDIRECT || (proxy && str_starts(proxy, "https:"));
}

/* Fills in the handle; -1 with why and fault when the request cannot even be begun. */
static int trip_begin(struct trip *t)
{
	const struct http_req *r = t->req;
	int is_https = str_starts(r->url, "https://");
	t->began = clock_us();
	t->why->reason = R_NONE;
	if (!is_https && !str_starts(r->url, "http://")) {
		t->res->fault = HTTP_BAD_URL;
		return why_set(t->why, R_USAGE, "%.200s: neither http:// nor https://", r->url);
	}
	if (clock_passed(r->deadline)) {
		t->res->fault = HTTP_TIMEOUT;
		return why_set(t->why, R_DEADLINE, "no time left");
	}
	if (begin_all() || !(t->easy = spare ? spare : curl_easy_init())) {
		t->res->fault = HTTP_UNREACHABLE;
		return why_set(t->why, R_RESOURCES, "libcurl cannot be set up");
	}
	spare = NULL;
	CURL *e = t->easy;
	curl_easy_setopt(e, CURLOPT_URL, r->url);
	curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_NOPROGRESS, 1L);
#if CURL_AT_LEAST_VERSION(7, 87, 0)
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
#endif
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	set_body(t);
	set_limits(t);
	if (r->socket)
		name_socket(t);
	else if (r->stream)
		set_stream(t);
	else
		set_network(t, is_https);
	if (needs_tls(r) && set_tls(t))
		return -1;
	if (curl_multi_add_handle(multi, e)) {
		t->res->fault = HTTP_UNREACHABLE;
		return why_set(t->why, R_RESOURCES, "libcurl cannot begin another request");
	}
	return 0;
}

static const struct fault_info { enum reason reason; int status; const char *text; } faults[] = {
	[HTTP_BAD_URL]       = { R_USAGE, 0, "not a URL that can be used" },
	[HTTP_DNS]           = { R_DIAL_FAILED, EXIT_RETRY, "the name cannot be resolved" },
	[HTTP_REFUSED]       = { R_REFUSED, EXIT_RETRY, "nothing listens there" },
	[HTTP_UNREACHABLE]   = { R_NO_PATH, 0, "cannot be reached" },
	[HTTP_TLS]           = { R_CONTROL_TLS, 0, "the certificate is not trusted" },
	[HTTP_TLS_TIME]      = { R_CLOCK, 0, "by this machine's clock the certificate is expired or not valid yet" },
	[HTTP_PROXY_TLS]     = { R_CONTROL_TLS, 0, "no TLS with the proxy" },
	[HTTP_PROXY_REFUSED] = { R_CONTROL_PROXY, 0, "the proxy refuses it" },
	[HTTP_PROXY_AUTH]    = { R_CONTROL_PROXY, 0, "the proxy wants a user and password" },
	[HTTP_PROXY_DEAD]    = { R_DIAL_FAILED, EXIT_RETRY, "the proxy cannot be reached" },
	[HTTP_TIMEOUT]       = { R_DEADLINE, 0, "no answer in time" },
	[HTTP_CUT]           = { R_LOST, 0, "the connection was cut" },
	[HTTP_TOO_BIG]       = { R_TOO_BIG, 0, "the answer is larger than allowed" },
	[HTTP_GARBAGE]       = { R_API_ERROR, 0, "the answer is not HTTP" },
	[HTTP_STOPPED]       = { R_INTERRUPTED, 0, "stopped" },
};

static int is_bad_date(const struct trip *t)
{
#if HTTP_MBEDTLS
	const int dates = MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE;
	return (t->tls_flags & dates) && !(t->tls_flags & ~dates);
#else
	long result = 0;	/* OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED */
	curl_easy_getinfo(t->easy, CURLINFO_SSL_VERIFYRESULT, &result);
	return result == 9 || result == 10;
#endif
}

static const char *tls_text(const struct trip *t)
{
#if HTTP_MBEDTLS
	if (t->tls_flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)
		return "nobody who is trusted has signed the certificate";
	if (t->tls_flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
		return "the certificate is for another name";
#endif
	return t->rc == CURLE_SSL_CONNECT_ERROR ? "TLS fails" : "the certificate is not trusted";
}

static enum http_fault proxy_fault(const struct trip *t)
{
	int status = t->res->connect_status;
	if (status == 407 || status == 401)	/* tinyproxy: none given, a wrong one */
		return HTTP_PROXY_AUTH;
	return status == 502 || status == 503 || status == 504 ? HTTP_UNREACHABLE : HTTP_PROXY_REFUSED;
}

static enum http_fault find_fault(const struct trip *t)
{
	int proxied = t->res->via_proxy;
	if (t->socket_failed)
		return HTTP_SOCKET;
	if (t->upgraded)
		return HTTP_FINE;
	if (t->res->connect_status >= 300)
		return proxy_fault(t);
	switch (t->rc) {
	case CURLE_OK: return HTTP_FINE;
	case CURLE_URL_MALFORMAT: return HTTP_BAD_URL;
	case CURLE_COULDNT_RESOLVE_PROXY: return HTTP_PROXY_DEAD;
	case CURLE_COULDNT_RESOLVE_HOST: return HTTP_DNS;
	case CURLE_PROXY: return HTTP_PROXY_REFUSED;
	case CURLE_OPERATION_TIMEDOUT: return HTTP_TIMEOUT;
	case CURLE_FILESIZE_EXCEEDED: return HTTP_TOO_BIG;
	case CURLE_PARTIAL_FILE: case CURLE_GOT_NOTHING: return HTTP_CUT;
	case CURLE_RECV_ERROR: case CURLE_SEND_ERROR: return HTTP_CUT;
	case CURLE_SSL_CACERT_BADFILE: return HTTP_TLS;
	case CURLE_PEER_FAILED_VERIFICATION: case CURLE_SSL_CONNECT_ERROR:
		if (t->https_proxy && !t->res->connect_status)
			return HTTP_PROXY_TLS;
		return is_bad_date(t) ? HTTP_TLS_TIME : HTTP_TLS;
	default: break;
	}
	if (t->rc == CURLE_COULDNT_CONNECT) {
		long error = 0;
		curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &error);
		if (proxied)
			return HTTP_PROXY_DEAD;
		return error == ECONNREFUSED ? HTTP_REFUSED : HTTP_UNREACHABLE;
	}
	if (t->rc == CURLE_WRITE_ERROR) {
		if (t->sunk)
			return HTTP_STOPPED;
		return t->res->head.over ? HTTP_GARBAGE : HTTP_TOO_BIG;
	}
	return HTTP_GARBAGE;
}

static void say_fault(struct trip *t)
{
	struct http_res *res = t->res;
	const struct fault_info *f = &faults[res->fault];
	int is_tls = res->fault == HTTP_TLS || res->fault == HTTP_PROXY_TLS;
	char url[192], detail[160] = "";
	const char *by = res->issuer;
	const char *denied = http_header(res, "x-deny-reason");
	if (!denied)
		denied = http_header(res, "x-proxy-error");
	if (res->connect_status >= 300)
		str_fmt(detail, sizeof detail, "it answers %d%s%.100s", res->connect_status,
		        denied ? " " : "", denied ? denied : "");
	else if ((is_tls && !t->tls_flags) || res->fault == HTTP_GARBAGE)
		str_escape(detail, sizeof detail, t->error, strlen(t->error));
	why_set(t->why, f->reason, "%s: %s%s%s%s%s%s", http_redact_url(url, sizeof url, t->req->url),
	        res->fault == HTTP_TLS ? tls_text(t) : f->text, *detail ? " (" : "", detail, *detail ? ")" : "",
	        *by ? "; its issuer is " : "", by);
	if (f->status)
		t->why->status = f->status;
}

static int how_far(const struct trip *t)
{
	curl_off_t name = 0, connected = 0, tls = 0;
	curl_easy_getinfo(t->easy, CURLINFO_NAMELOOKUP_TIME_T, &name);
	curl_easy_getinfo(t->easy, CURLINFO_CONNECT_TIME_T, &connected);
	curl_easy_getinfo(t->easy, CURLINFO_APPCONNECT_TIME_T, &tls);
	if (!connected)
		return name ? HTTP_AT_CONNECT : HTTP_AT_NAME;
	return tls || !str_starts(t->req->url, "https:") ? HTTP_AT_ANSWER : HTTP_AT_TLS;
}

static void trip_judge(struct trip *t)
{
	struct http_res *res = t->res;
	long n = 0;
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &n);
	res->status = (int)n;
	n = 0;
	curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &n);
	res->connect_status = (int)n;
#if CURL_AT_LEAST_VERSION(8, 7, 0)
	n = 0;
	curl_easy_getinfo(t->easy, CURLINFO_USED_PROXY, &n);
	if (n || t->rc == CURLE_OK)
		res->via_proxy = n != 0;
#endif
	res->at = how_far(t);
	res->fault = find_fault(t);
	if (res->fault == HTTP_FINE || res->fault == HTTP_SOCKET)
		return;
	/* A CA file that cannot be used has been named already. */
	if (res->fault != HTTP_TLS || t->why->reason == R_NONE)
		say_fault(t);
}

static void trip_end(struct trip *t)
{
	t->res->us = clock_us() - t->began;
	curl_slist_free_all(t->headers);
	t->headers = NULL;
	if (!t->easy)
		return;
	curl_multi_remove_handle(multi, t->easy);
	if (spare) {
		curl_easy_cleanup(t->easy);
	} else {
		curl_easy_reset(t->easy);
		spare = t->easy;
	}
	t->easy = NULL;
}

/* Moves everything that can move; trips that are over are marked. */
static void turn(void)
{
	int running, left;
	CURLMsg *m;
	curl_multi_perform(multi, &running);
	while ((m = curl_multi_info_read(multi, &left))) {
		struct trip *t;
		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		t->rc = m->data.result;
		t->done = 1;
		trip_judge(t);
	}
}

static void wait_ms(struct curl_waitfd *fds, unsigned n, long long deadline)
{
	int ms = clock_poll_ms(deadline);
	curl_multi_poll(multi, fds, n, ms < 0 ? 60000 : ms, NULL);
}

int http_do(const struct http_req *req, struct http_res *res, struct why *why)
{
	*res = (struct http_res){0};
	struct trip t = { .req = req, .res = res, .why = why };
	if (!trip_begin(&t)) {
		for (turn(); !t.done; turn())
			wait_ms(NULL, 0, req->deadline);
	}
	trip_end(&t);
	return res->fault ? -1 : 0;
}

int http_do_many(const struct http_req *req, struct http_res *res, struct why *why, int n, long long deadline)
{
	struct trip *trips = xalloc((size_t)n * sizeof *trips);
	struct http_req *copies = xalloc((size_t)n * sizeof *copies);
	int left = 0, good = 0;
	for (int i = 0; i < n; i++) {
		copies[i] = req[i];
		if (deadline && (!req[i].deadline || deadline < req[i].deadline))
			copies[i].deadline = deadline;
		res[i] = (struct http_res){0};
		trips[i] = (struct trip){ .req = &copies[i], .res = &res[i], .why = &why[i] };
		if (trip_begin(&trips[i])) {
			trips[i].done = 1;
			trip_end(&trips[i]);
			continue;
		}
		left++;
	}
	while (left) {
		turn();
		for (int i = 0; i < n; i++)
			if (trips[i].easy && trips[i].done) {
				trip_end(&trips[i]);
				left--;
			}
		if (left)
			wait_ms(NULL, 0, deadline);
	}
	for (int i = 0; i < n; i++)
		good += res[i].fault == HTTP_FINE;
	free(trips);
	free(copies);
	return good;
}

void http_res_free(struct http_res *res)
{
	buf_free(&res->body);
	buf_free(&res->head);
}

static long status_of(struct http_stream *s)
{
	long status = 0;
	if (s->trip.easy)
		curl_easy_getinfo(s->trip.easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

int http_stream_open(struct http_stream **out, const struct http_req *req, struct http_res *res, struct why *why)
{
	struct http_stream *s = xalloc(sizeof *s);
	*out = NULL;
	*res = (struct http_res){0};
	s->req = *req;
	s->max = req->max ? req->max : BUF_MAX;
	s->req.max = ERROR_BODY_MAX;
	s->data.max = s->max + 2 * STREAM_AHEAD;
	s->trip = (struct trip){ .req = &s->req, .res = &s->res, .why = &s->why, .stream = s };
	int failed = trip_begin(&s->trip), status = 0;
	while (!failed) {
		turn();
		status = (int)status_of(s);
		/* A good head is enough, an informational one is not one, of a refusal the text is wanted. */
		if (s->trip.done || (status >= 200 && status < 300))
			break;
		if (clock_passed(req->deadline))
			failed = why_set(&s->why, R_DEADLINE, "no answer in time");
		else
			wait_ms(NULL, 0, req->deadline);
	}
	s->res.status = status;
	if (!failed && s->trip.done && s->res.fault)
		failed = -1;
	if (!failed && (status < 200 || status >= 300))
		failed = why_set(&s->why, R_API_ERROR, "the answer was %d", status);
	if (failed) {
		if (!s->res.fault && clock_passed(req->deadline) && !s->trip.done)
			s->res.fault = HTTP_TIMEOUT;
		*why = s->why;
		*res = s->res;
		s->res = (struct http_res){0};
		http_stream_close(s);
		return -1;
	}
	res->status = status;
	buf_add(&res->head, buf_cstr(&s->res.head), s->res.head.len);
	s->req.headers = NULL;
	s->req.body = NULL;
	*out = s;
	return 0;
}

/* A whole line that is there already. */
static int next_line(struct http_stream *s, char **line, size_t *len)
{
	if (s->looked < s->at)
		s->looked = s->at;
	size_t fresh = s->data.len - s->looked;
	char *nl = fresh ? memchr(s->data.p + s->looked, '\n', fresh) : NULL;
	if (!nl) {
		s->looked = s->data.len;
		return 0;
	}
	*nl = 0;
	*line = s->data.p + s->at;
	*len = (size_t)(nl - *line);
	s->at = s->looked = (size_t)(nl + 1 - s->data.p);
	return 1;
}

static void go_on(struct http_stream *s)
{
	if (!s->paused || s->trip.done || s->data.len - s->at > STREAM_AHEAD)
		return;
	s->paused = 0;
	curl_easy_pause(s->trip.easy, CURLPAUSE_CONT);
}

/* libcurl does not report a hang-up of others' descriptors, so they are asked again. */
static int fds_ready(struct pollfd *fds, int n)
{
	return n && poll(fds, (nfds_t)n, 0) > 0;
}

int http_stream_next(struct http_stream *s, struct pollfd *fds, int n, long long deadline, char **line,
                     size_t *len, struct why *why)
{
	struct curl_waitfd extra[16];
	if (n > (int)(sizeof extra / sizeof *extra))
		return why_set(why, R_SYSTEM, "too many descriptors to wait for");
	for (int i = 0; i < n; i++) {
		int in = fds[i].events & POLLIN ? CURL_WAIT_POLLIN : 0;
		int out = fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0;
		extra[i] = (struct curl_waitfd){ .fd = fds[i].fd, .events = (short)(in | out) };
	}
	for (;;) {
		if (next_line(s, line, len))
			return HTTP_LINE;
		if (s->data.len - s->at > s->max)
			return why_set(why, R_TOO_BIG, "a line is longer than %zu bytes", s->max);
		go_on(s);
		if (!s->trip.done)
			turn();
		if (next_line(s, line, len))
			return HTTP_LINE;
		if (s->trip.done) {
			if (!s->res.fault)
				return HTTP_END;
			*why = s->why;
			return -1;
		}
		if (fds_ready(fds, n))
			return HTTP_FDS;
		if (clock_passed(deadline))
			return why_set(why, R_DEADLINE, "nothing came in time");
		wait_ms(extra, (unsigned)n, deadline);
	}
}

void http_stream_close(struct http_stream *s)
{
	if (!s)
		return;
	/* Somebody else's spare handle must not be kept with this one's open connection. */
	trip_end(&s->trip);
	http_res_free(&s->res);
	buf_free(&s->data);
	free(s);
}
