/* listened - runs a program in a place whose seccomp has a listener already, as some container runtimes have it:
 * a second one is refused with EBUSY. usage: listened PROGRAM [ARG]... */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = {1, &allow};
	(void)argc;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	int fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
	if (fd < 0 || dup(fd) < 0) {	/* the copy has no CLOEXEC: it listens for as long as the program runs */
		fprintf(stderr, "listened: %s\n", strerror(errno));
		return 99;
	}
	execvp(argv[1], argv + 1);
	return 99;
}
