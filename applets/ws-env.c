/* ws-env - print the environment through which programs reach the tailnet
 *
 * usage: ws-env [-jq] [--sh | --csh | --fish] [--socks] [--http] [NAME]
 * usage: ws-env --ssh [NAME]
 *
 * --sh  export lines for sh, bash, zsh (default, unless csh or fish calls it)
 * --csh  setenv lines
 * --fish  set -gx lines
 * -j, --json  print a JSON object
 * --socks  ALL_PROXY too: tailscaled's SOCKS5 proxy, if it was started with one
 * --http  HTTP_PROXY and HTTPS_PROXY too: tailscaled's HTTP proxy, if it was started with one
 * --ssh  print an ssh_config fragment instead: one Host block for the tailnet's names, by ts-nc
 * -q, --quiet  print no notes
 *
 * NAME is a workspace, or @system; without it $MOORBOX_WORKSPACE, else the only one that is up. Prints what runs already and
 * starts nothing: MOORBOX_WORKSPACE, MOORBOX_SOCKET, MOORBOX_HOSTNAME, MOORBOX_DNS_NAME, MOORBOX_IP, and MOORBOX_FORWARD_HOST_PORT for
 * each ts-forward that runs and listens in this network namespace (see ws-run for that of --isolate).
 * HTTP_PROXY and HTTPS_PROXY name the proxy of `ts-forward --split`, if that runs: it passes on to the
 * proxy that the sandbox had. Otherwise the sandbox's own proxy variables stay as they are, unless --socks or --http says
 * otherwise. Values are quoted for the shell, whatever is in them.
 *
 * exit: 0 printed
 *   1  there is no such workspace, it is not up, or it has no such proxy
 *   2  usage
 *   3  --ssh: its tailscaled does not answer
 * example: eval "$(ws-env)"
 * example: ws-env --ssh >>~/.ssh/config; ssh db.example.ts.net
 * see: ws-run ws-up ts-nc
 */
#include "clock.h"
#include "err.h"
#include "json.h"
#include "node.h"
#include "opts/ws-env.h"
#include "str.h"
#include "wsenv.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum shell { SH, CSH, FISH, JSON };

/* sh: 'it'\''s'; csh the same, and ! and newlines are special even there; fish: backslash and quote within '' */
static void quoted(const char *s, enum shell shell)
{
	putchar('\'');
	for (; *s; s++)
		if (*s == '\'')
			fputs(shell == FISH ? "\\'" : "'\\''", stdout);
		else if ((*s == '\\' && shell == FISH) || (shell == CSH && (*s == '!' || *s == '\n')))
			printf("\\%c", *s);
		else
			putchar(*s);
	putchar('\'');
}

static void print_var(const struct wsenv_var *v, enum shell shell)
{
	static const char *const set[] = {"export ", "setenv ", "set -gx "}, *const unset[] = {"unset ", "unsetenv ", "set -e "};
	printf("%s%s", v->value ? set[shell] : unset[shell], v->name);
	if (v->value) {
		putchar(shell == SH ? '=' : ' ');
		quoted(v->value, shell);
	}
	puts(shell == SH ? "" : ";");
}

static void print_json(const struct wsenv *e)
{
	struct buf b = {0};
	json_w_obj(&b, NULL);
	for (int i = 0; i < e->n; i++)
		json_w_str(&b, e->var[i].name, e->var[i].value);
	json_w_end(&b, '}');
	puts(buf_cstr(&b));
	buf_free(&b);
}

static int print_ssh(const struct node *node, struct why *why)
{
	struct node_status st;
	char self[PATH_MAX];
	if (localapi_status(&node->api, &st, clock_ms() + 5000, why) < 0 || node_running(node->name, &st, why) < 0)
		return -1;
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	self[n > 0 ? n : 0] = 0;
	if (!*st.suffix || strpbrk(st.suffix, " \t\n\"*?%"))
		return why_set(why, R_NO_NODE, "the tailnet gives no names to make a Host block of");
	if (n <= 0 || strpbrk(self, "\"%\n$`\\"))		/* it goes through a shell */
		str_copy(self, sizeof self, "moorbox");
	printf("# %s: hosts of the tailnet by its own names, with neither TUN nor DNS\n", node->name);
	printf("Host *.%s\n\tProxyCommand \"%s\" ts-nc -w %s %%h %%p\n", st.suffix, self, node->name);
	return 0;
}

/* Who called it: a script's shell need not be the one that SHELL names, its user's. */
static enum shell own_shell(void)
{
	static const char *const others[] = {"sh", "bash", "dash", "ash", "busybox", "zsh", "ksh", "ksh93", "mksh", "yash"};
	const char *shell = getenv("SHELL");
	char path[48], comm[32] = "";
	str_fmt(path, sizeof path, "/proc/%d/comm", (int)getppid());
	FILE *f = fopen(path, "re");
	if (f && fgets(comm, sizeof comm, f))
		comm[strcspn(comm, "\n")] = 0;
	if (f)
		fclose(f);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (str_eq(comm, others[i]))
			return SH;
	if (str_ends(comm, "csh") || str_eq(comm, "fish"))
		shell = comm;
	return !shell ? SH : str_ends(shell, "csh") ? CSH : str_ends(shell, "fish") ? FISH : SH;
}

int ws_env_main(char **argv)
{
	struct why why = {0};
	struct node node = {0};
	struct wsenv env;
	enum shell shell = own_shell();
	int flags = 0, ssh = 0;
	struct opt o = opt_start(argv, opts);
	for (int c; (c = opt_next(&o)); )
		switch (c) {
		case 'j': shell = JSON; break;
		case 'q': break;
		case OPT_SH: shell = SH; break;
		case OPT_CSH: shell = CSH; break;
		case OPT_FISH: shell = FISH; break;
		case OPT_SOCKS: flags |= WSENV_SOCKS; break;
		case OPT_HTTP: flags |= WSENV_HTTP; break;
		case OPT_SSH: ssh = 1; break;
		}
	if (o.cmd)
		opt_usage("no command can follow; ws-run runs one");
	opt_want(&o, 0, 1);
	if (node_find_operand(&node, o.operands[0], "ws-env", &why) < 0)
		die_why(&why);
	if (ssh)
		return print_ssh(&node, &why) < 0 ? warn_why(&why) : EXIT_DONE;
	if (wsenv_of(&node, flags, &env, &why) < 0)
		die_why(&why);
	if (env.note)
		say("%s", env.note);
	if (shell == JSON)
		print_json(&env);
	for (int i = 0; shell != JSON && i < env.n; i++)
		print_var(&env.var[i], shell);
	return EXIT_DONE;
}
