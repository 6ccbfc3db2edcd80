/* lease - the nodes that are ours */
#include "lease.h"
#include "buf.h"
#include "clock.h"
#include "file.h"
#include "json.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { LEASES_MAX = 8 << 20 };

/* Rewrites the file without the lines that match; fn may be NULL. add is appended. */
static int rewrite_leases(const struct ws_root *root, int (*drop)(const struct json *, const void *), const void *arg,
	const char *add, struct why *why)
{
	struct buf old = {0}, new = {0};
	int lock = file_lock(root->fd, ".leases.lock", clock_ms() + 5000, why);
	if (lock < 0)
		return -1;
	file_sweep(root->fd, "leases.jsonl");
	int rc = file_read(root->fd, "leases.jsonl", &old, LEASES_MAX, why);
	if (rc < 0 && errno == ENOENT)
		rc = 0;
	/* what has no line end was torn by a power cut */
	for (char *line = old.p, *end; !rc && line && (end = memchr(line, '\n', old.p + old.len - line)); line = end + 1) {
		struct json j;
		struct why ignored;
		if (json_parse(&j, line, end - line, &ignored) < 0)
			continue;
		if (!drop || !drop(&j, arg))
			buf_add(&new, line, end - line + 1);
		json_free(&j);
	}
	if (!rc && add)
		buf_str(&new, add);
	if (!rc && (new.len != old.len || (new.len && memcmp(new.p, old.p, new.len))))
		rc = file_write(root->fd, "leases.jsonl", buf_cstr(&new), new.len, 0600, why);
	buf_free(&old);
	buf_free(&new);
	close(lock);
	return rc;
}

/* Ids are a control server's own: headscale's are small numbers, so that two servers soon have the same. */
struct node { const char *control, *id; };

static int is_node(const struct json *j, const void *node)
{
	const struct node *n = node;
	int control = json_get(j, 0, "control");
	return json_str_eq(j, json_get(j, 0, "id"), n->id)
		&& (!*n->control || json_kind(j, control) != JSON_STR || json_str_eq(j, control, n->control));
}

static void *settle(void *lease)
{
	struct lease_write *l = lease;
	if (fdatasync(l->fd) < 0 || (l->dir >= 0 && fsync(l->dir) < 0))
		l->error = errno;
	return NULL;
}

/* One write at the end of the file, under the lock that who rewrites it takes. 1 when such an id is in it already. */
static int append_lease(const struct ws_root *root, const char *id, const struct buf *line, struct lease_write *l, struct why *why)
{
	struct buf old = {0};
	char mark[80];
	int lock = file_lock(root->fd, ".leases.lock", clock_ms() + 5000, why);
	if (lock < 0)
		return -1;
	int rc = file_read(root->fd, "leases.jsonl", &old, LEASES_MAX, why), is_first = rc < 0 && errno == ENOENT;
	str_fmt(mark, sizeof mark, "\"%s\"", id);
	if (!rc && old.len && memmem(old.p, old.len, mark, strlen(mark)))
		rc = 1;
	if (!rc || is_first) {
		/* the last line may have been torn by a power cut */
		const char *whole = old.len && old.p[old.len - 1] != '\n' ? line->p : line->p + 1;
		l->fd = openat(root->fd, "leases.jsonl", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		l->dir = is_first ? root->fd : -1;
		rc = l->fd < 0 || file_full_write(l->fd, whole, strlen(whole)) < 0 ? why_errno(why, "write leases.jsonl:") : 0;
		if (rc < 0 && l->fd >= 0)
			close(l->fd);
	}
	buf_free(&old);
	close(lock);
	return rc;
}

int lease_add(const struct ws_root *root, const struct ws *ws, struct lease_write *l, struct why *why)
{
	struct buf b = {0};
	*l = (struct lease_write){.fd = -1};
	buf_ch(&b, '\n');
	json_w_obj(&b, NULL);
	json_w_str(&b, "id", ws->run.node_id);
	json_w_str(&b, "control", ws->spec.control);
	json_w_str(&b, "name", ws->spec.hostname);
	json_w_str(&b, "workspace", ws->name);
	json_w_str(&b, "dnsName", ws->run.dns_name);
	json_w_num(&b, "since", ws->run.since);
	json_w_end(&b, '}');
	buf_ch(&b, '\n');
	int rc = append_lease(root, ws->run.node_id, &b, l, why);
	if (rc == 1)
		rc = rewrite_leases(root, is_node, &(struct node){ws->spec.control, ws->run.node_id}, b.p + 1, why);
	buf_free(&b);
	if (rc < 0 || l->fd < 0)
		return rc;
	if (!ws->spec.keep)
		return 0;
	l->running = proc_thread(&l->thread, settle, l) == 0;
	if (!l->running)
		settle(l);
	return 0;
}

int lease_settle(struct lease_write *l, struct why *why)
{
	if (l->running)
		pthread_join(l->thread, NULL);
	if (l->fd > 0)
		close(l->fd);
	l->running = l->fd = 0;
	errno = l->error;
	return l->error ? why_errno(why, "write leases.jsonl:") : 0;
}

static int is_lease_of(const char *line, size_t len, const struct node *node)
{
	struct json j;
	struct why ignored;
	if (!memmem(line, len, node->id, strlen(node->id)) || json_parse(&j, line, len, &ignored) < 0)
		return 0;
	int is_it = is_node(&j, node);
	json_free(&j);
	return is_it;
}

/* With nothing known of the control server: is it one node, and not one each of two servers? */
static int is_one(const struct buf *b, const struct node *node)
{
	int n = 0;
	for (char *line = b->p, *end; line && (end = memchr(line, '\n', b->p + b->len - line)); line = end + 1)
		n += is_lease_of(line, end - line, node);
	return n == 1;
}

/* The line is blanked where it stands: the others are not touched, so nothing has to reach the disk, and a kill leaves a lease or
 * a line that is none. Blanks at the end are cut off; when there are too many others, the file is written anew. */
int lease_drop(const struct ws_root *root, const char *control, const char *node_id, struct why *why)
{
	enum { BLANKS = 64 << 10 };
	const struct node node = {control, node_id};
	struct buf b = {0};
	size_t used = 0, blanks = 0;
	if (!*node_id)
		return 0;
	int lock = file_lock(root->fd, ".leases.lock", clock_ms() + 5000, why);
	if (lock < 0)
		return -1;
	int rc = file_read(root->fd, "leases.jsonl", &b, LEASES_MAX, why), fd = -1;
	if (rc < 0 && errno == ENOENT)
		rc = 0;
	else if (!rc && (fd = openat(root->fd, "leases.jsonl", O_WRONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		rc = why_errno(why, "write leases.jsonl:");
	int known = *control || is_one(&b, &node);
	for (char *line = b.p, *end; !rc && line && (end = memchr(line, '\n', b.p + b.len - line)); line = end + 1) {
		size_t len = end - line;
		if (known && is_lease_of(line, len, &node)) {
			memset(line, ' ', len);
			if (pwrite(fd, line, len, line - b.p) != (ssize_t)len)
				rc = why_errno(why, "write leases.jsonl:");
		}
		if (*line == ' ')
			blanks += len;
		else
			used = end + 1 - b.p;
	}
	if (!rc && used < b.len && ftruncate(fd, used) < 0)
		rc = why_errno(why, "write leases.jsonl:");
	buf_free(&b);
	if (fd >= 0)
		close(fd);
	close(lock);
	return !rc && used > BLANKS && blanks > used / 2 ? rewrite_leases(root, NULL, NULL, NULL, why) : rc;
}

static int load_lease(struct lease *l, const struct json *j)
{
	memset(l, 0, sizeof *l);
	json_text(j, 0, "control", l->control, sizeof l->control);
	json_text(j, 0, "name", l->name, sizeof l->name);
	json_text(j, 0, "workspace", l->workspace, sizeof l->workspace);
	json_text(j, 0, "dnsName", l->dns_name, sizeof l->dns_name);
	return json_text(j, 0, "id", l->id, sizeof l->id) > 0;
}

int lease_each(const struct ws_root *root, int (*fn)(const struct lease *, void *), void *ctx, struct why *why)
{
	struct buf b = {0};
	int stop = 0, none = 0, rc = file_read(root->fd, "leases.jsonl", &b, LEASES_MAX, why);
	if (rc < 0 && errno == ENOENT)
		none = 1;
	for (char *line = b.p, *end; !rc && !stop && line && (end = memchr(line, '\n', b.p + b.len - line)); line = end + 1) {
		struct json j;
		struct why ignored;
		struct lease l;
		if (json_parse(&j, line, end - line, &ignored) < 0)
			continue;
		if (load_lease(&l, &j))
			stop = fn(&l, ctx) > 0;
		json_free(&j);
	}
	buf_free(&b);
	return none ? 0 : rc;
}

struct sought { const char *name, *workspace, *control; struct lease last; int found; };

static int match_lease(const struct lease *l, void *ctx)
{
	struct sought *s = ctx;
	if ((!*s->control || str_eq(l->control, s->control)) && (s->name ? str_eq(l->name, s->name) : str_eq(l->workspace, s->workspace))) {
		s->last = *l;
		s->found = 1;
	}
	return 0;
}

int lease_find(const struct ws_root *root, const char *control, const char *hostname, char id[static 64], struct why *why)
{
	struct sought s = {.name = hostname, .control = control};
	if (lease_each(root, match_lease, &s, why) < 0)
		return -1;
	if (s.found)
		str_copy(id, 64, s.last.id);
	return s.found;
}

int lease_of(const struct ws_root *root, const char *workspace, const char *control, struct lease *l, struct why *why)
{
	struct sought s = {.workspace = workspace, .control = control};
	int rc = lease_each(root, match_lease, &s, why);
	*l = s.last;
	return rc < 0 ? -1 : s.found;
}
