/* download_fuzz - what a server answers to a download, from the first byte of its head: by way of libcurl, into what the
 * ranges, lengths, tags and redirects in it come to. The first byte of the input says how much was there already. */
#include "../../lib/tailnet/download.c"
#include <sys/mman.h>
#include <sys/socket.h>

static const char first[] = "http://localhost/stable/x.tgz";
static const struct download none = {.folder = "x"};

static void check(const struct big *b)
{
	struct download_head h;
	struct why why;
	char url[DOWNLOAD_URL];
	const char *to = http_header(&b->res, "Location");
	if (download_head(&b->res, b->asked, first, &h, &why) == 0) {
		int is_part = http_header(&b->res, "Content-Range") != NULL;
		if (h.from != (is_part ? b->asked : 0) || h.total < 0 || h.total > SEAL_MAX || (is_part && (!b->asked || h.total <= b->asked)) ||
			strpbrk(h.tag, "\r\n") || !strncasecmp(h.tag, "W/", 2))
			abort();
	}
	str_copy(url, sizeof url, first);
	if (to && download_hop(first, url, to, &why) == 0 && (strchr(url, '@') || !str_starts(url, "http") || (!same_host(url, first) &&
		!same_host(url, "https://dl.tailscale.com") && !same_host(url, "https://pkgs.tailscale.com"))))
		abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static const char zero[256];
	int fd[2];
	struct why why;
	if (!size || size > 32768 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return 0;
	struct big b = {.d = &none, .url = first, .name = "x.tgz", .from_name = "x.from", .magic = *data & 1 ? "\x1f\x8b" : "",
		.dir = -1, .fd = memfd_create("x", MFD_CLOEXEC), .s = seal_new(SEAL_MAX)};
	seal_hash_along(b.s);
	seal_add(b.s, zero, *data >> 1);
	b.asked = have(&b);
	put_down(&b);
	struct http_req r = {.url = first, .stream = fd[0], .sink = take_big, .ctx = &b, .deadline = clock_ms() + 2000, .flags = HTTP_FRESH};
	if (send(fd[1], data + 1, size - 1, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 && !shutdown(fd[1], SHUT_WR)) {
		int rc = http_do(&r, &b.res, &why);
		if (rc < 0 && !why.reason && !b.why.reason)
			abort();
		check(&b);
		/* What is on the disk is the beginning of what is in memory, and all of it once it is put down. */
		unsigned char end;
		if (b.on_disk > have(&b) || (put_down(&b) == 0 && have(&b) && (pread(b.fd, &end, 1, have(&b) - 1) != 1 ||
			end != seal_bytes(b.s)[have(&b) - 1])))
			abort();
		http_res_free(&b.res);
	}
	seal_free(b.s);
	close(b.fd);
	close(fd[0]);
	close(fd[1]);
	return 0;
}
