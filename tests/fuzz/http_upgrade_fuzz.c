/* http_upgrade_fuzz - what pretends to be tailscaled's answer to a dial: the head at every cut, then through a socket */
#include "../../lib/means/dial.c"

static void through_socket(const unsigned char *data, size_t size)
{
	static struct dial_answer a;
	struct why why;
	int fd[2];
	if (size > 32768 || socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
		return;
	if (send(fd[1], data, size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 && !shutdown(fd[1], SHUT_WR)
	    && !dial_tailnet(fd[0], "host", 22, clock_ms() + 1000, &a, &why) && a.early_len > sizeof a.early)
		abort();
	close(fd[0]);
	close(fd[1]);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static struct dial_answer a;
	char *head = xalloc(size + 1);
	memcpy(head, data, size);
	int whole = dial_parse_head(head, size, &a);
	if (whole > (int)size)
		abort();
	/* More bytes never turn a head that was read into another, nor garbage into a head. */
	for (size_t n = 0; n < size; n += 1 + n / 16) {
		int part = dial_parse_head(head, n, &a);
		if (part > 0 && part != whole)
			abort();
		if (part < 0 && whole > 0)
			abort();
	}
	through_socket(data, size);
	free(head);
	return 0;
}
