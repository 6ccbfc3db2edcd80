/* ws-run - run a command in a workspace
 *
 * usage: ws-run [-v] [--socks] [--http] [-C DIR] NAME CMD [ARG]...
 *
 * -C DIR  run it in DIR (default: the workspace's src, if it has one, else here)
 * --socks  point ALL_PROXY at tailscaled's SOCKS5 proxy, if it was started with one
 * --http  point HTTP_PROXY and HTTPS_PROXY at tailscaled's HTTP proxy, if it was started with one
 * -v, --verbose  say where it runs
 *
 * A workspace of ws-up --isolate or --netns has a network namespace of its own: CMD runs in that, so that a server which it starts is
 * reached at http://NAME:PORT from the tailnet. MOORBOX_HOST is then, with --isolate, the address of this machine's loopback, and proxies
 * on that loopback are told by it. Joining a namespace takes what ws-up took for it; without root CMD has no setuid programs there.
 *
 * Options come before NAME; what follows NAME is the command's own. The workspace has to be up. CMD finds in its environment what
 * ws-env prints, among it MOORBOX_WORKSPACE, so that ts-nc and the others in it mean this workspace without being told. stdin, stdout
 * and stderr are passed on as they are; ^C and ^Z reach it; a signal sent to ws-run alone is handed on.
 *
 * exit: CMD's own status; 128+N when signal N ended it
 *   125  the workspace is not up, or ws-run itself failed
 *   126  CMD was found but cannot be executed
 *   127  CMD was not found
 *   2  usage
 * example: ws-run myproject make test
 * example: ws-run myproject python3 -m http.server 3000
 * see: ws-env ws-up
 */
#include "err.h"
#include "isolate.h"
#include "node.h"
#include "opts/ws-run.h"
#include "proc.h"
#include "str.h"
#include "wsenv.h"
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

static int fail(const struct why *why)
{
	int status = warn_why(why);
	return status == EXIT_USAGE ? EXIT_USAGE : EXIT_CMD;
}

int ws_run_main(char **argv)
{
	struct why why = {0};
	struct node node = {0};
	struct wsenv env;
	const char *dir = NULL;
	char src[PATH_MAX];
	int flags = WSENV_INSIDE;
	struct netns ns;
	struct opt o = opt_start_early(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case 'C': dir = o.val; break;
		case OPT_SOCKS: flags |= WSENV_SOCKS; break;
		case OPT_HTTP: flags |= WSENV_HTTP; break;
		case 'v': break;
		}
	/* ws-run NAME -- CMD is what a hand used to ws-up types */
	char **cmd = o.operands + 1;
	if (o.count > 1 && str_eq(*cmd, "--"))
		cmd++, o.count--;
	opt_want(&o, 2, OPT_MANY);
	if (node_find(&node, o.operands[0], NULL, &why) < 0 || wsenv_of(&node, flags, &env, &why) < 0)
		return fail(&why);
	if (env.note)
		say("%s", env.note);
	int apart = node.is_ws ? isolate_inside(&node.root, &node.ws, &ns, &why) : 1;
	if (apart < 0)
		return fail(&why);
	if (!apart)
		isolate_setenv(&node.ws);
	for (int i = 0; i < env.n; i++)
		if (env.var[i].value)
			setenv(env.var[i].name, env.var[i].value, 1);
		else
			unsetenv(env.var[i].name);
	if (!dir && node.is_ws && str_fmt(src, sizeof src, "%s/%s/src", node.root.path, node.ws.name) > 0 && access(src, X_OK) == 0)
		dir = src;
	verbose("%s: running in %s%s", node.name, dir ? dir : "this directory", apart ? "" : ", in its network namespace");
	struct proc_cmd run = {.argv = cmd, .env = environ, .cwd = dir, .watch = -1};
	if (!apart)
		run.enter = netns_enter_cmd, run.failed = netns_failed, run.where = &ns;
	int status = proc_run(&run, &why);
	return status < 0 ? warn_why(&why) : status;
}
