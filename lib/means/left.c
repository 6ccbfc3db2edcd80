/* left - has the program at the other end of a local connection gone for good? */
#include "left.h"
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct ends { struct sockaddr_storage ours, theirs; };

/* An IPv4 connection on a socket for both families is listed as what it is. */
static int address(const struct sockaddr_storage *ss, unsigned char ip[static 16], unsigned short *port)
{
	const struct sockaddr_in *v4 = (const void *)ss;
	const struct sockaddr_in6 *v6 = (const void *)ss;
	memset(ip, 0, 16);
	if (ss->ss_family == AF_INET) {
		memcpy(ip, &v4->sin_addr, 4);
		*port = v4->sin_port;
		return AF_INET;
	}
	*port = v6->sin6_port;
	memcpy(ip, &v6->sin6_addr, 16);
	return AF_INET6;
}

static int look_up(int netlink, const struct ends *e)
{
	struct { struct nlmsghdr h; struct inet_diag_req_v2 r; } q = {
		.h = { .nlmsg_len = sizeof q, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
		.r = { .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u },
	};
	union { struct nlmsghdr h; char room[4096]; } a;
	unsigned char ip[16];
	q.r.sdiag_family = (unsigned char)address(&e->theirs, ip, &q.r.id.idiag_sport);
	memcpy(q.r.id.idiag_src, ip, 16);
	address(&e->ours, ip, &q.r.id.idiag_dport);
	memcpy(q.r.id.idiag_dst, ip, 16);
	q.r.id.idiag_cookie[0] = q.r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	if (sendto(netlink, &q, sizeof q, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
		return -1;
	ssize_t n = recv(netlink, &a, sizeof a, MSG_DONTWAIT);		/* the kernel has answered before sendto returned */
	if (n < (ssize_t)NLMSG_LENGTH(0))
		return -1;
	if (a.h.nlmsg_type == NLMSG_ERROR && n >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)))
		return ((struct nlmsgerr *)NLMSG_DATA(&a.h))->error == -ENOENT ? 1 : -1;
	if (a.h.nlmsg_type != SOCK_DIAG_BY_FAMILY || n < (ssize_t)NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
		return -1;
	return ((struct inet_diag_msg *)NLMSG_DATA(&a.h))->idiag_inode == 0;
}

/* Of another machine nothing can be looked up here, and "there is none" would be wrong. */
static int is_local(const struct ends *e)
{
	unsigned char ours[16], theirs[16];
	unsigned short port;
	int family = address(&e->theirs, theirs, &port);
	address(&e->ours, ours, &port);
	if (!memcmp(ours, theirs, 16))
		return 1;
	return family == AF_INET ? theirs[0] == 127
		: IN6_IS_ADDR_V4MAPPED((struct in6_addr *)theirs) && theirs[12] == 127;
}

int left_for_good(int fd)
{
	struct ends e;
	socklen_t len = sizeof e.ours, len2 = sizeof e.theirs;
	struct pollfd p = { .fd = fd };
	memset(&e, 0, sizeof e);
	if (getsockname(fd, (struct sockaddr *)&e.ours, &len))
		return -1;
	if (e.ours.ss_family == AF_UNIX)
		return poll(&p, 1, 0) < 0 ? -1 : (p.revents & POLLHUP) != 0;
	if (getpeername(fd, (struct sockaddr *)&e.theirs, &len2))
		return errno == ENOTCONN ? 1 : -1;
	if ((e.ours.ss_family != AF_INET && e.ours.ss_family != AF_INET6) || !is_local(&e))
		return -1;
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (netlink < 0)
		return -1;
	int gone = look_up(netlink, &e);
	close(netlink);
	return gone;
}
