/* ws-wait - wait until a workspace, or hosts and ports seen from it, answer
 *
 * usage: ws-wait [-0jqv] [-t DUR] [NAME] [HOST:PORT]...
 *
 * -t, --timeout DUR  give up after DUR: 30, 15m, 1h (default 60)
 * -0, --null  end each record with NUL, not newline
 * -j, --json  print a JSON line for each target
 * -q, --quiet  print nothing; the exit status is the answer
 * -v, --verbose  say what is being waited for
 *
 * NAME is a workspace, or @system; without it $MOORBOX_WORKSPACE, else the only one there is. It has to be Running. Then each HOST:PORT:
 * it answers when a TCP connection through the tailnet to the real port succeeds, not when the node is merely listed. HOST is a
 * name or an address of the tailnet, or one that its DNS settings give; the system's DNS is never asked. They share the deadline;
 * each is tried once at least.
 *
 * Prints a record for each target once it answers: host, port, "answers", milliseconds waited; for the one that does not: the
 * reason word in the third column. Without HOST:PORT: the workspace's name, an empty field, "up", milliseconds.
 *
 * exit: 0 all answer
 *   1  one never will: unknown name, refused, no such workspace
 *   2  usage
 *   3  not yet: the reason is named; the same call may succeed later
 * env:
 *   MOORBOX_WORKSPACE  the workspace, when NAME is not given
 * example: ws-wait -t 2m db:5432 && ts-forward db:5432 -- psql -h localhost -p {1}
 * see: ws-up ts-nc ts-info
 */
#include "alloc.h"
#include "clock.h"
#include "err.h"
#include "node.h"
#include "opts/ws-wait.h"
#include "reach.h"
#include "rec.h"
#include "str.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
	LOOK_MS = 25, LOOK_SLOWLY_MS = 500, FAST_MS = 2000,
	TRY_MS = 300,		/* for one whose turn comes when the others have used up the time */
};

static struct rec out;

static void print(const char *host, const char *port, const char *state, long long since)
{
	rec_begin(&out);
	rec_str(&out, "host", host);
	rec_str(&out, "port", port);
	rec_str(&out, "state", state);
	rec_num(&out, "ms", clock_ms() - since);
	rec_end(&out);
}

/* A workspace that is not there, or not up, may be on its way: another process brings it up. */
static int may_come(const struct why *why)
{
	return why->reason == R_NOT_UP || why->reason == R_NO_NODE || why->reason == R_NO_WORKSPACE || why->reason == R_APPROVAL
		|| why->reason == R_LOCK_UNSIGNED || why->reason == R_LOGIN || why->reason == R_NO_PATH || why->reason == R_LOST
		|| why->reason == R_TAILSCALED_HUNG;
}

static int wait_running(struct node *node, const char *name, long long deadline, struct why *why)
{
	long long began = clock_ms();
	struct why last = {0};
	for (;;) {
		struct node_status st;
		if (node_find_operand(node, name, "ws-wait", why) == 0) {
			long long patient = clock_ms() + 2000;
			if (localapi_status(&node->api, &st, deadline && deadline < patient ? deadline : patient, why) == 0
				&& node_running(node->name, &st, why) == 0)
				return 0;
			node_close(node);
		}
		/* that the deadline cut a question short says less than what was known before */
		if (last.reason && clock_passed(deadline) && why->reason == R_TAILSCALED_HUNG)
			*why = last;
		if (!may_come(why) || clock_passed(deadline))
			return -1;
		last = *why;
		long long pause = clock_ms() - began < FAST_MS ? LOOK_MS : LOOK_SLOWLY_MS;
		poll(NULL, 0, clock_left(deadline) < pause ? (int)clock_left(deadline) : (int)pause);
	}
}

static int is_target(const char *operand)
{
	return strchr(operand, ':') != NULL;
}

int ws_wait_main(char **argv)
{
	struct why why = {0};
	struct node node = {0};
	const char *name = NULL;
	long long wait = 60000;
	int status = EXIT_DONE;
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case 't': wait = opt_dur(&o); break;
		case '0': out.mode = REC_NUL; break;
		case 'j': out.mode = REC_JSON; break;
		case 'q': out.mode = REC_NONE; break;
		case 'v': break;
		}
	if (o.cmd)
		opt_usage("no command can follow");
	char **target = o.operands;
	if (*target && !is_target(*target))
		name = *target++;
	for (char **t = target; *t; t++) {
		char copy[300], *host;
		int port;
		if (str_copy(copy, sizeof copy, *t) < 0 || str_host_port(copy, &host, &port) < 0)
			opt_usage("%s: not HOST:PORT", *t);
	}
	long long began = clock_ms(), deadline = began + wait;
	if (wait_running(&node, name, deadline, &why) < 0) {
		print(name ? name : "", NULL, reason_word(why.reason), began);
		die_why(&why);
	}
	if (!*target)
		print(node.name, NULL, "up", began);
	for (; *target; target++) {
		char *host, port[8];
		int number;
		char *copy = xstrdup(*target);
		str_host_port(copy, &host, &number);
		str_fmt(port, sizeof port, "%d", number);
		verbose("waiting for %s port %s", host, port);
		long long until = clock_left(deadline) < TRY_MS ? clock_ms() + TRY_MS : deadline;
		if (reach_wait(&node.api, host, number, until, &why) == 0) {
			print(host, port, "answers", began);
			free(copy);
			continue;
		}
		print(host, port, reason_word(why.reason), began);
		int this = warn_why(&why);
		status = status == EXIT_NO ? status : this;	/* a plain "no" outranks "later" */
		free(copy);
	}
	return status;
}
