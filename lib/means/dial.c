/* dial - descriptors that lead somewhere: unix sockets, TCP, the tailnet through tailscaled; and listeners */
#include "dial.h"
#include "alloc.h"
#include "buf.h"
#include "clock.h"
#include "proc.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* Closes and fails, keeping the errno that the caller may want. */
static int give_up(int fd)
{
	int kept = errno;
	if (fd >= 0)
		close(fd);
	errno = kept;
	return -1;
}

/* Fills in the address; *held is a directory descriptor that has to stay open until connect or bind. */
static int unix_addr(struct sockaddr_un *sa, int dir, const char *name, int *held, struct why *why)
{
	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*held = -1;
	int is_path = dir == AT_FDCWD || *name == '/';
	if (is_path && str_copy(sa->sun_path, sizeof sa->sun_path, name) >= 0)
		return 0;
	if (is_path) {
		char parent[PATH_MAX];
		const char *slash = strrchr(name, '/');
		struct slice front = { name, slash ? (size_t)(slash - name) + 1 : 0 };
		if (!slash || str_copy_slice(parent, sizeof parent, front) < 0) {
			errno = ENAMETOOLONG;
			return why_errno(why, "%s:", name);
		}
		dir = *held = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return why_errno(why, "%s:", parent);
		name = slash + 1;
	}
	if (str_fmt(sa->sun_path, sizeof sa->sun_path, "/proc/self/fd/%d/%s", dir, name) < 0) {
		give_up(*held);
		errno = ENAMETOOLONG;
		return why_errno(why, "%s:", name);
	}
	return 0;
}

static int unix_socket(struct why *why)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		return fd;
	if (errno == EPERM || errno == EACCES || errno == EAFNOSUPPORT)
		return why_set(why, R_SOCKET_DENIED, "unix sockets are forbidden here: %s", strerror(errno));
	return why_errno(why, "socket:");
}

int dial_peer(int fd, pid_t *pid, uid_t *uid)
{
	struct ucred cred;
	socklen_t len = sizeof cred;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -1;
	*pid = cred.pid;
	*uid = cred.uid;
	return 0;
}

static int check_peer(int fd, const char *name, const struct dial_who *who, struct why *why)
{
	static const struct dial_who nobody;
	pid_t pid;
	uid_t uid;
	if (!who)
		who = &nobody;
	if (dial_peer(fd, &pid, &uid))
		return why_errno(why, "%s: cannot tell who listens:", name);
	if (!who->any_uid && uid && uid != geteuid() && !(who->uid && uid == who->uid))
		return why_set(why, R_SOCKET_FOREIGN, "%s: a process of user %u listens there", name, (unsigned)uid);
	if (who->pid && pid != who->pid)
		return why_set(why, R_SOCKET_FOREIGN, "%s: process %d listens there, not %d", name, (int)pid,
		               (int)who->pid);
	return 0;
}

static int unix_failed(const char *name, struct why *why)
{
	int kept = errno;
	switch (errno) {
	case ENOENT: case ENOTDIR:
		why_set(why, R_NOT_UP, "%s: no such socket", name);
		break;
	case ECONNREFUSED:
		why_set(why, R_NOT_UP, "%s: nobody listens there any more", name);
		break;
	case EPERM:
		why_set(why, R_SOCKET_DENIED, "%s: connecting is forbidden here", name);
		break;
	case EAGAIN: case EINPROGRESS:
		why_set(why, R_DEADLINE, "%s: too many wait to connect", name);
		break;
	default:
		why_errno(why, "%s:", name);
	}
	errno = kept;
	return -1;
}

int dial_unix(int dir, const char *name, const struct dial_who *who, long long deadline, struct why *why)
{
	struct sockaddr_un sa;
	int held;
	if (unix_addr(&sa, dir, name, &held, why))
		return -1;
	int fd = unix_socket(why);
	if (fd < 0)
		return give_up(held);
	/* A full backlog cannot be polled for; connect itself waits for so long. */
	long long left = clock_left(deadline);
	struct timeval tv = { .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 + 1000 * !left };
	if (deadline)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
	int rc;
	do
		rc = connect(fd, (struct sockaddr *)&sa, sizeof sa);
	while (rc && errno == EINTR && !clock_passed(deadline));
	if (rc)
		unix_failed(name, why);
	give_up(held);
	if (rc || check_peer(fd, name, who, why) || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return give_up(fd);
	return fd;
}

/* getaddrinfo cannot be told when to stop: it runs in a thread that is left behind when time is up. */
struct dns {
	pthread_mutex_t lock;
	int users;
	int done[2];		/* a pipe: closed by the thread when it is done */
	int rc;
	struct addrinfo *found;
	char port[8];
	char host[256];
};

static void dns_drop(struct dns *l)
{
	pthread_mutex_lock(&l->lock);
	int last = !--l->users;
	pthread_mutex_unlock(&l->lock);
	if (!last)
		return;
	if (l->found)
		freeaddrinfo(l->found);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void *dns_thread(void *arg)
{
	struct dns *l = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	l->rc = getaddrinfo(l->host, l->port, &hints, &l->found);
	close(l->done[1]);
	dns_drop(l);
	return NULL;
}

static int dns_failed(const char *host, int rc, struct why *why)
{
	if (rc == EAI_SYSTEM)
		return why_errno(why, "%s: cannot be resolved:", host);
	why_set(why, R_UNKNOWN_NAME, "%s: cannot be resolved: %s", host, gai_strerror(rc));
	if (rc == EAI_AGAIN)
		why->status = EXIT_RETRY;
	return -1;
}

/* With l->thread: done[0] becomes readable when there is an answer. */
static struct dns *dns_begin(const char *host, int port, struct why *why)
{
	struct dns *l = xalloc(sizeof *l);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST };
	size_t len = strlen(host);
	int is_v6 = len > 2 && host[0] == '[' && host[len - 1] == ']';
	struct slice bare = { host + is_v6, len - 2 * (size_t)is_v6 };
	str_fmt(l->port, sizeof l->port, "%d", port);
	if (!bare.len || str_copy_slice(l->host, sizeof l->host, bare) < 0) {
		free(l);
		why_set(why, R_UNKNOWN_NAME, "%.64s: not a host name", host);
		return NULL;
	}
	pthread_mutex_init(&l->lock, NULL);
	l->users = 1;
	l->done[0] = -1;
	if (!getaddrinfo(l->host, l->port, &hints, &l->found))
		return l;
	pthread_t thread;
	if (pipe2(l->done, O_CLOEXEC)) {
		why_errno(why, "pipe:");
		dns_drop(l);
		return NULL;
	}
	l->users = 2;
	int rc = proc_thread(&thread, dns_thread, l);
	if (rc) {
		close(l->done[0]);
		close(l->done[1]);
		l->users = 1;
		errno = rc;
		why_errno(why, "a thread for DNS:");
		dns_drop(l);
		return NULL;
	}
	pthread_detach(thread);
	return l;
}

static struct dns *dns_find(const char *host, int port, long long deadline, struct why *why)
{
	struct dns *l = dns_begin(host, port, why);
	if (!l || l->done[0] < 0)
		return l;
	struct pollfd p = { .fd = l->done[0], .events = POLLIN };
	int rc;
	do
		rc = poll(&p, 1, clock_poll_ms(deadline));
	while (rc < 0 && errno == EINTR);
	close(l->done[0]);
	if (rc == 1 && !l->rc)
		return l;
	if (rc == 1)
		dns_failed(host, l->rc, why);
	else
		why_set(why, R_DEADLINE, "%s: DNS does not answer", host);
	dns_drop(l);
	return NULL;
}

enum { TRIES = 8, STAGGER_MS = 250 };

/* All addresses, one begun every 250 ms or as soon as the one before fails, the two families in turn. */
struct race {
	struct addrinfo *order[TRIES];
	int count, begun;
	struct pollfd fds[TRIES];
	int open, error;
};

static void race_order(struct race *r, struct addrinfo *list)
{
	struct addrinfo *first = NULL, *other = NULL;
	if (list)
		first = list;
	for (struct addrinfo *ai = list; ai && !other; ai = ai->ai_next)
		if (ai->ai_family != first->ai_family)
			other = ai;
	while (r->count < TRIES && (first || other)) {
		struct addrinfo **from = first && (!other || r->count % 2 == 0) ? &first : &other;
		r->order[r->count++] = *from;
		int family = (*from)->ai_family;
		do
			*from = (*from)->ai_next;
		while (*from && (*from)->ai_family != family);
	}
}

/* Begins the next one; a descriptor when it is connected at once. */
static int race_begin(struct race *r)
{
	struct addrinfo *ai = r->order[r->begun];
	struct pollfd *p = &r->fds[r->begun++];
	*p = (struct pollfd){ .fd = -1, .events = POLLOUT };
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		r->error = errno;
		return -1;
	}
	if (!connect(fd, ai->ai_addr, ai->ai_addrlen))
		return fd;
	if (errno != EINPROGRESS && errno != EINTR) {
		r->error = errno;
		close(fd);
		return -1;
	}
	p->fd = fd;
	r->open++;
	return -1;
}

static int race_ready(struct race *r)
{
	for (int i = 0; i < r->begun; i++) {
		struct pollfd *p = &r->fds[i];
		int error = 0;
		socklen_t len = sizeof error;
		if (p->fd < 0 || !p->revents)
			continue;
		int fd = p->fd;
		p->fd = -1;
		r->open--;
		if (!getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) && !error)
			return fd;
		r->error = error;
		close(fd);
	}
	return -1;
}

static int race_run(struct race *r, long long deadline)
{
	int fd = -1;
	long long next = 0;
	while (fd < 0) {
		if (r->begun < r->count && (!r->open || clock_passed(next))) {
			fd = race_begin(r);
			next = clock_ms() + STAGGER_MS;
			continue;
		}
		if (!r->open)
			break;
		long long until = r->begun < r->count && (!deadline || next < deadline) ? next : deadline;
		if (poll(r->fds, (nfds_t)r->begun, clock_poll_ms(until)) > 0)
			fd = race_ready(r);
		else if (clock_passed(deadline))
			break;
	}
	for (int i = 0; i < r->begun; i++)
		if (r->fds[i].fd >= 0)
			close(r->fds[i].fd);
	return fd;
}

static int tcp_failed(const char *host, int port, int error, long long deadline, struct why *why)
{
	if (!error && clock_passed(deadline)) {
		why_set(why, R_DEADLINE, "%s:%d: no answer", host, port);
		errno = ETIMEDOUT;
		return -1;
	}
	switch (error) {
	case ECONNREFUSED:
		why_set(why, R_REFUSED, "%s:%d: nothing listens there", host, port);
		break;
	case ENETUNREACH: case EHOSTUNREACH: case EADDRNOTAVAIL: case ETIMEDOUT: case EAFNOSUPPORT:
		why_set(why, R_NO_PATH, "%s:%d: %s", host, port, strerror(error));
		break;
	default:
		errno = error;
		why_set(why, R_DIAL_FAILED, "%s:%d: %s", host, port, strerror(error));
	}
	errno = error;
	return -1;
}

int dial_tcp(const char *host, int port, long long deadline, struct why *why)
{
	struct dns *l = dns_find(host, port, deadline, why);
	if (!l)
		return -1;
	struct race r = {0};
	race_order(&r, l->found);
	int fd = race_run(&r, deadline);
	dns_drop(l);
	if (fd < 0)
		return tcp_failed(host, port, r.error, deadline, why);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	return fd;
}

enum { NEXT_MS = 2000 };	/* for an address, while there are others */

/* In a loop: the addresses one after the other. */
struct dial_tcp {
	char host[256];
	int port, fd;
	struct dns *lookup;
	struct race race;
	long long next;
};

struct dial_tcp *dial_tcp_begin(const char *host, int port, struct why *why)
{
	struct dns *l = dns_begin(host, port, why);
	if (!l)
		return NULL;
	struct dial_tcp *d = xalloc(sizeof *d);
	str_copy(d->host, sizeof d->host, host);
	d->port = port;
	d->lookup = l;
	d->fd = l->done[0];
	if (d->fd < 0)
		race_order(&d->race, l->found);
	return d;
}

int dial_tcp_fd(const struct dial_tcp *d)
{
	return d->fd;
}

/* The connection, or -1: begun, and to be waited for (d->fd), or failed (d->fd is -1). */
static int tcp_next(struct dial_tcp *d)
{
	struct race *r = &d->race;
	while (r->begun < r->count) {
		int i = r->begun, fd = race_begin(r);
		d->next = clock_ms() + NEXT_MS;
		if (fd >= 0)
			return fd;
		if (r->fds[i].fd >= 0) {
			d->fd = r->fds[i].fd;
			return -1;
		}
	}
	d->fd = -1;
	return -1;
}

static int tcp_lookup_done(struct dial_tcp *d, struct why *why)
{
	struct pollfd p = { .fd = d->lookup->done[0], .events = POLLIN };
	if (poll(&p, 1, 0) < 1)
		return 0;
	close(p.fd);
	d->lookup->done[0] = d->fd = -1;
	if (d->lookup->rc)
		return dns_failed(d->host, d->lookup->rc, why);
	race_order(&d->race, d->lookup->found);
	return 1;
}

int dial_tcp_go_on(struct dial_tcp *d, int *fd, struct why *why)
{
	struct race *r = &d->race;
	*fd = -1;
	if (d->lookup->done[0] >= 0) {
		int rc = tcp_lookup_done(d, why);
		if (rc <= 0)
			return rc;
	}
	if (d->fd >= 0) {
		struct pollfd p = { .fd = d->fd, .events = POLLOUT };
		int error = 0;
		socklen_t len = sizeof error;
		if (poll(&p, 1, 0) < 1 && (r->begun == r->count || !clock_passed(d->next)))
			return 0;
		if (!p.revents)
			error = ETIMEDOUT;
		else
			getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		*fd = d->fd;
		d->fd = -1;
		if (error) {
			r->error = error;
			close(*fd);
			*fd = -1;
		}
	}
	if (*fd < 0)
		*fd = tcp_next(d);
	if (*fd >= 0) {
		setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
		return 1;
	}
	return d->fd >= 0 ? 0 : tcp_failed(d->host, d->port, r->error, 0, why);
}

void dial_tcp_end(struct dial_tcp *d)
{
	if (!d)
		return;
	if (d->fd >= 0)
		close(d->fd);
	dns_drop(d->lookup);
	free(d);
}

int dial_listen_tcp(const char *host, int port, struct why *why)
{
	if (!host)
		host = "127.0.0.1";
	struct dns *l = dns_find(host, port, clock_ms() + 5000, why);
	if (!l)
		return -1;
	int fd = -1;
	for (struct addrinfo *ai = l->found; ai && fd < 0; ai = ai->ai_next) {
		fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
		if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, SOMAXCONN))
			fd = give_up(fd);
	}
	if (fd < 0) {
		int kept = errno;
		why_errno(why, "cannot listen on %s:%d:", host, port);
		errno = kept;
	}
	dns_drop(l);
	return fd;
}

int dial_port(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;
	if (getsockname(fd, (struct sockaddr *)&ss, &len))
		return -1;
	if (ss.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&ss)->sin_port);
	if (ss.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&ss)->sin6_port);
	return -1;
}

int dial_listen_unix(int dir, const char *name, struct why *why)
{
	struct sockaddr_un sa;
	struct stat st;
	struct why dead;
	if (!fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) {
		static const struct dial_who anybody = { .any_uid = 1 };
		if (!S_ISSOCK(st.st_mode))
			return why_set(why, R_NOT_OURS, "%s: there is something that is no socket", name);
		int live = dial_unix(dir, name, &anybody, clock_ms() + 1000, &dead);
		if (live >= 0)
			close(live);
		if (live >= 0 || errno != ECONNREFUSED)
			return why_set(why, R_BUSY, "%s: somebody listens there already", name);
		if (unlinkat(dir, name, 0))
			return why_errno(why, "%s:", name);
	}
	int held;
	if (unix_addr(&sa, dir, name, &held, why))
		return -1;
	int fd = unix_socket(why);
	if (fd < 0)
		return give_up(held);
	mode_t mask = umask(0177);	/* a chmod afterwards would leave a moment in which others can connect */
	int rc = bind(fd, (struct sockaddr *)&sa, sizeof sa);
	umask(mask);
	if (rc || listen(fd, SOMAXCONN) || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		rc = why_errno(why, "%s:", name);
	give_up(held);
	return rc ? give_up(fd) : fd;
}

static int head_value(struct slice line, const char *name, struct slice *value)
{
	size_t n = strlen(name);
	if (line.len <= n || line.p[n] != ':' || strncasecmp(line.p, name, n))
		return 0;
	*value = (struct slice){ line.p + n + 1, line.len - n - 1 };
	while (value->len && (*value->p == ' ' || *value->p == '\t')) {
		value->p++;
		value->len--;
	}
	return 1;
}

static int head_line(struct slice line, struct dial_answer *a)
{
	struct slice value;
	char text[32];
	if (!memchr(line.p, ':', line.len))
		return -1;
	if (head_value(line, "Dial-Self", &value))
		a->self = slice_eq(value, "true");
	else if (head_value(line, "Dial-Addr", &value))
		return str_copy_slice(a->addr, sizeof a->addr, value) < 0 ? -1 : 0;
	else if (head_value(line, "Content-Length", &value))
		return str_copy_slice(text, sizeof text, value) < 0 || str_num(text, 0, LLONG_MAX, &a->length) ? -1 : 0;
	return 0;
}

int dial_parse_head(const char *p, size_t len, struct dial_answer *a)
{
	static const char start[] = "HTTP/1.1 ";
	size_t n = len < sizeof start - 1 ? len : sizeof start - 1;
	if (memcmp(p, start, n))
		return -1;
	const char *end = len >= 4 ? memmem(p, len, "\r\n\r\n", 4) : NULL;
	size_t whole = end ? (size_t)(end + 4 - p) : len;
	if (memchr(p, 0, whole) || whole > DIAL_HEAD || (!end && whole == DIAL_HEAD))
		return -1;
	if (!end)
		return 0;
	a->status = a->self = 0;
	a->addr[0] = 0;
	a->length = -1;
	p += sizeof start - 1;
	for (int i = 0; i < 3; i++, p++) {
		if (*p < '0' || *p > '9')
			return -1;
		a->status = a->status * 10 + (*p - '0');
	}
	if ((*p != ' ' && *p != '\r') || a->status < 100)
		return -1;
	const char *eol = memmem(p, (size_t)(end + 2 - p), "\r\n", 2);
	while (eol && eol < end) {
		p = eol + 2;
		eol = memmem(p, (size_t)(end + 2 - p), "\r\n", 2);
		if (!eol || head_line((struct slice){ p, (size_t)(eol - p) }, a))
			return -1;
	}
	return (int)whole;
}

static int wait_fd(int fd, short events, long long deadline, struct why *why, const char *what)
{
	struct pollfd p = { .fd = fd, .events = events };
	int rc;
	do
		rc = poll(&p, 1, clock_poll_ms(deadline));
	while (rc < 0 && errno == EINTR);
	if (rc > 0)
		return 0;
	return rc ? why_errno(why, "poll:") : why_set(why, R_DEADLINE, "%s: no answer in time", what);
}

static int has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

/* tailscaled has no codes for these, only gVisor's and Go's texts. */
static enum reason text_reason(const char *text)
{
	if (has(text, "refused"))
		return R_REFUSED;
	if (has(text, "no such host") || has(text, "resolve failure") || has(text, "server misbehaving"))
		return R_UNKNOWN_NAME;
	if (has(text, "timed out") || has(text, "timeout") || has(text, "deadline exceeded"))
		return R_FILTERED;
	if (has(text, "no route") || has(text, "unreachable") || has(text, "not reachable"))
		return R_NO_PATH;
	if (has(text, "reset") || has(text, "aborted"))
		return R_LOST;
	return R_DIAL_FAILED;
}

static int answer_failed(struct dial_answer *a, const char *what, struct why *why)
{
	char shown[256];
	size_t len = strlen(a->text);
	while (len && (a->text[len - 1] == '\n' || a->text[len - 1] == '\r'))
		len--;
	str_escape(shown, sizeof shown, a->text, len);
	if (a->status == 502)
		return why_set(why, text_reason(a->text), "%s: %s", what, *shown ? shown : "tailscaled could not connect");
	return why_set(why, a->status == 403 || a->status == 401 ? R_API_DENIED : R_API_ERROR,
	               "%s: tailscaled answered %d %s", what, a->status, shown);
}

static int is_host(const char *host)
{
	size_t len = strlen(host);
	for (const char *p = host; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return 0;
	return len > 0 && len < 256;
}

int dial_ask(int fd, const char *host, int port, struct why *why)
{
	char head[640];
	if (!is_host(host) || port < 1 || port > 65535)
		return why_set(why, R_UNKNOWN_NAME, "%.255s: not a host name", host);
	int n = str_fmt(head, sizeof head, "POST /localapi/v0/dial HTTP/1.1\r\nHost: local-tailscaled.sock\r\n"
	                "Connection: upgrade\r\nUpgrade: ts-dial\r\nDial-Host: %s\r\nDial-Port: %d\r\n"
	                "Dial-Network: tcp\r\nContent-Length: 0\r\n\r\n", host, port);
	if (n < 0)
		return why_set(why, R_UNKNOWN_NAME, "%.255s:%d: the name is too long", host, port);
	ssize_t sent = send(fd, head, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);	/* a new connection takes so much at once */
	if (sent != n)
		return why_set(why, R_LOST, "%.255s:%d: tailscaled went away: %s", host, port, sent < 0 ? strerror(errno) : "");
	return 0;
}

/* Of the body of an error: is it all there? */
static int has_text(const struct dial_answer *a)
{
	return a->length >= 0 && (long long)a->early_len >= (a->length < DIAL_TEXT - 1 ? a->length : DIAL_TEXT - 1);
}

static int heard_failure(struct dial_answer *a, const char *what, struct why *why)
{
	size_t len = a->early_len < DIAL_TEXT - 1 ? a->early_len : DIAL_TEXT - 1;
	if (a->length >= 0 && (long long)len > a->length)
		len = (size_t)a->length;
	memcpy(a->text, a->early, len);
	a->text[len] = 0;
	a->early_len = 0;
	return answer_failed(a, what, why);
}

int dial_hear(int fd, struct dial_answer *a, const char *what, struct why *why)
{
	for (;;) {
		if (a->status && has_text(a))
			return heard_failure(a, what, why);
		ssize_t n = recv(fd, a->early + a->early_len, DIAL_HEAD - a->early_len, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0 && a->status)
			return heard_failure(a, what, why);
		if (n <= 0)
			return why_set(why, R_LOST, "%s: tailscaled ended the connection without an answer", what);
		a->early_len += (size_t)n;
		if (a->status)
			continue;
		int used = dial_parse_head(a->early, a->early_len, a);
		if (used < 0)
			return why_set(why, R_API_ERROR, "%s: what answers is not tailscaled", what);
		if (!used)
			continue;
		a->early_len -= (size_t)used;
		memmove(a->early, a->early + used, a->early_len);
		if (a->status == 101 || (a->status == 200 && a->self && *a->addr))
			return 1;
	}
}

int dial_tailnet(int fd, const char *host, int port, long long deadline, struct dial_answer *a,
                 struct why *why)
{
	enum { TEXT_MS = 1000 };	/* for the words of a failure that is known */
	char what[272];
	long long soon = 0;
	int rc;
	*a = (struct dial_answer){ .length = -1 };
	str_fmt(what, sizeof what, "%.255s:%d", host, port);
	if (dial_ask(fd, host, port, why))
		return -1;
	while (!(rc = dial_hear(fd, a, what, why))) {
		if (a->status && !soon)
			soon = clock_ms() + TEXT_MS;
		if (!wait_fd(fd, POLLIN, soon && (!deadline || soon < deadline) ? soon : deadline, why, what))
			continue;
		return a->status ? heard_failure(a, what, why) : -1;
	}
	return rc < 0 ? -1 : 0;
}
