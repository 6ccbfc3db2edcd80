/* stopwatch - times a command from outside: from before the fork until it has been waited for
 *
 * usage: stopwatch [-1] [-r RUNS] [-p COUNT] CMD [ARG]...
 *
 * -c        the processor time of the command, not how long it took
 * -1        until the first byte of its stdout
 * -r RUNS   that many, one after the other; the time is of one
 * -p COUNT  that many at once, until the last has ended; "%" in an argument is the number of each
 *
 * Its stdin is a pipe into which nothing comes. Prints: microseconds, a tab, the largest peak RSS in KiB. Status 1 when
 * one of them failed.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int failed, silent[2];
static long peak_kib;
static double cpu_us;

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void start(char **argv, int number, int out)
{
	posix_spawn_file_actions_t actions;
	char *args[64], text[64][256];
	pid_t pid;
	int n = 0;
	for (; argv[n] && n < 63; n++) {
		char *mark = strchr(argv[n], '%');
		args[n] = argv[n];
		if (mark && n && snprintf(text[n], sizeof text[n], "%.*s%d%s", (int)(mark - argv[n]), argv[n], number, mark + 1) > 0)
			args[n] = text[n];
	}
	args[n] = NULL;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, silent[0], 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	if (posix_spawnp(&pid, args[0], &actions, NULL, args, environ)) {
		fprintf(stderr, "stopwatch: %s: cannot be run\n", args[0]);
		exit(1);
	}
}

static void reap(void)
{
	struct rusage use;
	int status;
	if (wait4(-1, &status, 0, &use) < 0)
		exit(1);
	failed |= !WIFEXITED(status) || WEXITSTATUS(status);
	cpu_us += (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
	if (use.ru_maxrss > peak_kib)
		peak_kib = use.ru_maxrss;
}

/* The reader of the pipe is in time: a byte, or the end. */
static double first_byte(char **argv)
{
	char rest[65536];
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		exit(1);
	double began = now_us();
	start(argv, 0, ends[1]);
	close(ends[1]);
	failed |= read(ends[0], rest, 1) != 1;
	double us = now_us() - began;
	while (read(ends[0], rest, sizeof rest) > 0)
		;
	reap();
	return us;
}

int main(int argc, char **argv)
{
	int runs = 1, count = 1, byte = 0, cpu = 0, null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	double us;
	for (int c; (c = getopt(argc, argv, "+1cr:p:")) != -1; )
		switch (c) {
		case '1': byte = 1; break;
		case 'c': cpu = 1; break;
		case 'r': runs = atoi(optarg); break;
		case 'p': count = atoi(optarg); break;
		default: return 2;
		}
	argv += optind;
	if (!*argv || runs < 1 || count < 1 || null < 0 || pipe2(silent, O_CLOEXEC) < 0)
		return 2;
	if (byte) {
		us = first_byte(argv);
	} else {
		double began = now_us();
		for (int r = 0; r < runs; r++) {
			for (int i = 0; i < count; i++)
				start(argv, i, null);
			for (int i = 0; i < count; i++)
				reap();
		}
		us = (now_us() - began) / runs;
	}
	printf("%.0f\t%ld\n", cpu ? cpu_us / runs : us, peak_kib);
	return failed;
}
