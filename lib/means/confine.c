/* confine - narrow what a program can do, before it is executed */
#include "confine.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's interface, by hand: musl has none of its headers, distributions' are older than their kernels.
 * https://docs.kernel.org/userspace-api/landlock.html */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

struct ruleset_attr { uint64_t fs, net, scoped; };	/* ABI 1 to 3 know fs only, 4 and 5 net too */
struct path_rule { uint64_t allowed; int32_t fd; } __attribute__((packed));
struct port_rule { uint64_t allowed, port; };
enum { RULE_PATH = 1, RULE_PORT = 2, ASK_VERSION = 1 };

#define BIT(n) (UINT64_C(1) << (n))
#define FS_EXECUTE	BIT(0)
#define FS_WRITE_FILE	BIT(1)
#define FS_READ_FILE	BIT(2)
#define FS_READ_DIR	BIT(3)
#define FS_MAKE_CHAR	BIT(6)
#define FS_MAKE_BLOCK	BIT(11)
#define FS_REFER	BIT(13)		/* ABI 2 */
#define FS_TRUNCATE	BIT(14)		/* ABI 3 */
#define FS_IOCTL_DEV	BIT(15)		/* ABI 5 */
#define FS_RESOLVE_UNIX	BIT(16)		/* ABI 9: connect to a socket that somebody outside made */
#define FS_ABI_1	(BIT(13) - 1)
#define FS_READ		(FS_READ_FILE | FS_READ_DIR)
#define FS_OF_FILES	(FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV | FS_RESOLVE_UNIX)
#define NET_CONNECT_TCP		BIT(1)	/* ABI 4 */
#define NET_CONNECT_SEND_UDP	BIT(3)	/* ABI 10 */
#define SCOPE_ALL	(BIT(0) | BIT(1))	/* abstract sockets, signals: ABI 6 */

/* seccomp and classic BPF */
#if defined(__x86_64__)
#define OUR_ARCH 0xc000003eU
#define OUR_BIND 49
#define OUR_SECCOMP 317
#elif defined(__aarch64__)
#define OUR_ARCH 0xc00000b7U
#define OUR_BIND 200
#define OUR_SECCOMP 277
#endif
enum {
	X32_BIT = 0x40000000,
	SET_FILTER = 1, GET_ACTION_AVAIL = 2,
	NEW_LISTENER = 8, WAIT_KILLABLE = 32,
	LD_W_ABS = 0x20, JEQ_K = 0x15, JGE_K = 0x35, RET_K = 0x06,
};
#define DO_ALLOW	0x7fff0000U
#define DO_NOTIFY	0x7fc00000U
#define DO_ERRNO	0x00050000U
#define DO_ENOSYS	(DO_ERRNO | ENOSYS)
struct bpf { uint16_t code; uint8_t yes, no; uint32_t k; };
struct bpf_prog { unsigned short len; const struct bpf *code; };
struct call { int32_t nr; uint32_t arch; uint64_t ip, args[6]; };
struct notif { uint64_t id; uint32_t pid, flags; struct call call; };
struct notif_resp { uint64_t id; int64_t val; int32_t error; uint32_t flags; };
#define NOTIF_RECV	_IOWR('!', 0, struct notif)
#define NOTIF_SEND	_IOWR('!', 1, struct notif_resp)
enum { NOTIF_CONTINUE = 1, NOTIF_ROOM = 1024 };

/* confine_enter answers -(step + errno), so that the parent knows what failed. */
enum {
	STEP_PRIVS = 1 << 16, STEP_LANDLOCK = 2 << 16, STEP_SECCOMP = 3 << 16, STEP_SEND = 4 << 16,
	STEP_MASK = ~0xffff,
};

int confine_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, ASK_VERSION);
	if (abi >= 0)
		return (int)abi;
	return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -1;
}

static uint64_t fs_of_abi(int abi)
{
	uint64_t fs = FS_ABI_1;
	if (abi >= 2)
		fs |= FS_REFER;
	if (abi >= 3)
		fs |= FS_TRUNCATE;
	if (abi >= 5)
		fs |= FS_IOCTL_DEV;
	if (abi >= 9)
		fs |= FS_RESOLVE_UNIX;
	return fs;
}

/* 0, or -1 with errno; ENOENT when there is nothing of that name. */
static int allow_path(int ruleset, const char *path, uint64_t rights)
{
	struct stat st;
	int fd = open(path, O_PATH | O_CLOEXEC);	/* follows symlinks: the rule is about what they lead to */
	if (fd < 0)
		return -1;
	int result = fstat(fd, &st);
	if (!result) {
		struct path_rule rule = { .allowed = rights, .fd = fd };
		if (!S_ISDIR(st.st_mode))
			rule.allowed &= FS_OF_FILES;
		result = (int)syscall(SYS_landlock_add_rule, ruleset, RULE_PATH, &rule, 0);
	}
	int err = errno;
	close(fd);
	errno = err;
	return result;
}

/* The loader that an ELF program asks for; 1 when it has one, 0 when not, -1 when it is no ELF program. */
static int loader_of(const char *program, char *dst, size_t size)
{
	Elf64_Ehdr head;
	Elf64_Phdr part;
	int fd = open(program, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;		/* executable without being readable: exec will tell */
	int found = 0;
	ssize_t n = pread(fd, &head, sizeof head, 0);
	if (n < SELFMAG || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
		found = -1;
	else if (n < (ssize_t)sizeof head || head.e_ident[EI_CLASS] != ELFCLASS64)
		head.e_phnum = 0;
	for (int i = 0; !found && i < head.e_phnum && i < 64; i++) {
		off_t at = (off_t)head.e_phoff + (off_t)i * head.e_phentsize;
		if (pread(fd, &part, sizeof part, at) != (ssize_t)sizeof part)
			break;
		if (part.p_type != PT_INTERP || part.p_filesz == 0 || part.p_filesz > size)
			continue;
		n = pread(fd, dst, part.p_filesz, (off_t)part.p_offset);
		if (n == (ssize_t)part.p_filesz && !dst[n - 1])
			found = 1;
	}
	close(fd);
	return found;
}

static int allow_exec(int ruleset, const char *program, uint64_t fs, struct why *why)
{
	char loader[4096], real[4096];
	struct stat st;
	if (stat(program, &st) < 0 || !S_ISREG(st.st_mode))
		return why_set(why, R_BAD_TAILSCALED, "%s: no such program", program);
	int dynamic = loader_of(program, loader, sizeof loader);
	if (dynamic < 0)
		return why_set(why, R_BAD_TAILSCALED, "%s: a script, or not a program: it cannot be confined", program);
	if (allow_path(ruleset, program, (FS_EXECUTE | FS_READ_FILE) & fs) < 0)
		return why_errno(why, "landlock: %s", program);
	if (!dynamic)
		return 0;
	if (allow_path(ruleset, loader, (FS_EXECUTE | FS_READ_FILE) & fs) < 0)
		return why_set(why, R_BAD_TAILSCALED, "%s: its loader %s is missing", program, loader);
	static const char *const libraries[] = {
		"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/ld.so.preload", NULL
	};
	for (const char *const *p = libraries; *p; p++)
		allow_path(ruleset, *p, FS_READ & fs);
	/* A loader elsewhere has its libraries beside it. */
	if (realpath(loader, real) && strrchr(real, '/') > real) {
		*strrchr(real, '/') = 0;
		allow_path(ruleset, real, FS_READ & fs);
	}
	return 0;
}

static int allow_files(int ruleset, const struct confine_spec *spec, uint64_t fs, struct why *why)
{
	uint64_t all = fs & ~(FS_EXECUTE | FS_MAKE_CHAR | FS_MAKE_BLOCK);
	uint64_t null = (FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE) & fs;
	if (allow_path(ruleset, "/dev/null", null) < 0 && errno != ENOENT)
		return why_errno(why, "landlock: /dev/null");
	for (const char *const *p = spec->write; p && *p; p++)
		if (allow_path(ruleset, *p, all) < 0)
			return why_errno(why, "landlock: %s", *p);
	for (const char *const *p = spec->read; p && *p; p++)
		if (allow_path(ruleset, *p, FS_READ & fs) < 0
		 && errno != ENOENT && errno != EACCES && errno != ENOTDIR && errno != ELOOP)
			return why_errno(why, "landlock: %s", *p);
	return spec->exec ? allow_exec(ruleset, spec->exec, fs, why) : 0;
}

static int allow_ports(int ruleset, uint64_t right, const int *ports, int count, struct why *why)
{
	for (int i = 0; i < count; i++) {
		struct port_rule rule = { right, (uint64_t)ports[i] };
		if (syscall(SYS_landlock_add_rule, ruleset, RULE_PORT, &rule, 0) < 0)
			return why_errno(why, "landlock: port %d", ports[i]);
	}
	return 0;
}

static int no_tcp(int abi, struct why *why)
{
	if (abi < 0)
		return why_set(why, R_CANNOT_NARROW, "this container forbids Landlock");
	if (!abi)
		return why_set(why, R_NO_LANDLOCK, "this kernel has no Landlock, or it is switched off");
	return why_set(why, R_NO_LANDLOCK, "this kernel's Landlock knows no TCP (ABI %d, 4 is needed)", abi);
}

static int make_ruleset(const struct confine_spec *spec, struct confined *c, int abi, struct why *why)
{
	struct ruleset_attr attr = {0};
	if (spec->limit_files && abi >= 1)
		attr.fs = fs_of_abi(abi);
	if (spec->limit_connect)
		attr.net |= NET_CONNECT_TCP;
	if (spec->limit_udp)
		attr.net |= NET_CONNECT_SEND_UDP;
	if (spec->scoped && abi >= 6)
		attr.scoped = SCOPE_ALL;
	if (!attr.fs && !attr.net && !attr.scoped)
		return 0;

	size_t size = sizeof attr;
	if (abi < 6)
		size = abi < 4 ? offsetof(struct ruleset_attr, net) : offsetof(struct ruleset_attr, scoped);
	c->ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (c->ruleset < 0)
		return why_errno(why, "landlock");
	if (attr.fs && allow_files(c->ruleset, spec, attr.fs, why) < 0)
		return -1;
	if (spec->limit_connect
	 && allow_ports(c->ruleset, NET_CONNECT_TCP, spec->ports, spec->port_count, why) < 0)
		return -1;
	if (spec->limit_udp
	 && allow_ports(c->ruleset, NET_CONNECT_SEND_UDP, spec->udp_ports, spec->udp_port_count, why) < 0)
		return -1;
	c->files = attr.fs != 0;
	c->scoped = attr.scoped != 0;
	c->tcp = spec->limit_connect;
	c->udp_send = spec->limit_udp;
	return 0;
}

static int make_listener_way(struct confined *c, struct why *why)
{
#ifdef OUR_ARCH
	uint32_t notify = DO_NOTIFY;
	if (syscall(OUR_SECCOMP, GET_ACTION_AVAIL, 0, &notify) < 0)
		return why_set(why, R_CANNOT_NARROW, "seccomp: the kernel or the container does not offer notifications");
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return why_set(why, R_SOCKET_DENIED, "socketpair: %s", strerror(errno));
	c->ours = ends[0];
	c->theirs = ends[1];
	c->bind_v4 = 1;
	return 0;
#else
	(void)c;
	return why_set(why, R_CANNOT_NARROW, "seccomp: not known on this architecture");
#endif
}

int confine_prepare(const struct confine_spec *spec, struct confined *c, struct why *why)
{
	*c = (struct confined){ .no_sync = spec->no_sync, .ruleset = -1, .ours = -1, .theirs = -1 };
	int abi = confine_abi();
	if (spec->limit_connect && abi < 4)
		return no_tcp(abi, why);
	if (spec->limit_udp && abi < 10)
		return why_set(why, R_CANNOT_NARROW, "this kernel's Landlock knows no UDP (ABI 10 is needed)");
	if (make_ruleset(spec, c, abi, why) < 0 || (spec->bind_v4_notify && make_listener_way(c, why) < 0)) {
		confine_close(c);
		return -1;
	}
	return 0;
}

/* ---- in the child: system calls only */

#ifdef OUR_ARCH
static int install_filter(void)
{
	static const struct bpf code[] = {
		{ LD_W_ABS, 0, 0, offsetof(struct call, arch) },
		{ JEQ_K, 0, 7, OUR_ARCH },			/* i386 and the like: numbers mean other calls there */
		{ LD_W_ABS, 0, 0, offsetof(struct call, nr) },
		{ JGE_K, 5, 0, X32_BIT },			/* no call of ours is that high: x32 only */
		{ JEQ_K, 0, 3, OUR_BIND },
		{ LD_W_ABS, 0, 0, offsetof(struct call, args[2]) },	/* low half; the length is an int */
		{ JEQ_K, 0, 1, 16 },				/* sizeof(struct sockaddr_in) */
		{ RET_K, 0, 0, DO_NOTIFY },
		{ RET_K, 0, 0, DO_ALLOW },
		{ RET_K, 0, 0, DO_ENOSYS },
	};
	_Static_assert(sizeof(struct call) == 64, "struct seccomp_data");
	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "low half first");
	const struct bpf_prog prog = { sizeof code / sizeof *code, code };
	/* A signal must not break off a bind that is being answered (Linux 5.19). */
	long fd = syscall(OUR_SECCOMP, SET_FILTER, NEW_LISTENER | WAIT_KILLABLE, &prog);
	if (fd < 0 && errno == EINVAL)
		fd = syscall(OUR_SECCOMP, SET_FILTER, NEW_LISTENER, &prog);
	return (int)fd;
}

/* Of use, but not needed: what installs nothing is not said. */
static void skip_syncs(void)
{
	static const struct bpf code[] = {
		{ LD_W_ABS, 0, 0, offsetof(struct call, arch) },
		{ JEQ_K, 0, 3, OUR_ARCH },
		{ LD_W_ABS, 0, 0, offsetof(struct call, nr) },
		{ JEQ_K, 2, 0, SYS_fsync },
		{ JEQ_K, 1, 0, SYS_fdatasync },
		{ RET_K, 0, 0, DO_ALLOW },
		{ RET_K, 0, 0, DO_ERRNO },			/* with errno 0: the call returns 0 */
	};
	const struct bpf_prog prog = { sizeof code / sizeof *code, code };
	syscall(OUR_SECCOMP, SET_FILTER, 0, &prog);
}

static int send_fd(int socket, int fd)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control;
	memset(&control, 0, sizeof control);
	struct iovec byte = { "", 1 };
	struct msghdr msg = {
		.msg_iov = &byte, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof control,
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(head), &fd, sizeof fd);
	return sendmsg(socket, &msg, MSG_NOSIGNAL) == 1 ? 0 : -1;
}
#endif

int confine_enter(void *confined)
{
	const struct confined *c = confined;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0)
		return -(STEP_PRIVS | errno);
	if (c->ruleset >= 0 && syscall(SYS_landlock_restrict_self, c->ruleset, 0) < 0)
		return -(STEP_LANDLOCK | errno);
#ifdef OUR_ARCH
	if (c->no_sync)
		skip_syncs();
	if (!c->bind_v4)
		return 0;
	int fd = install_filter();
	if (fd < 0)
		return -(STEP_SECCOMP | errno);
	int sent = send_fd(c->theirs, fd), err = errno;
	close(fd);	/* left open here, the program would wait for itself when we are gone */
	if (sent < 0)
		return -(STEP_SEND | err);
#endif
	return 0;
}

/* ---- in the parent again */

int confine_failed(int code, struct why *why)
{
	int step = -code & STEP_MASK, err = -code & ~STEP_MASK;
	if (step == STEP_SECCOMP && err == EBUSY)
		return why_set(why, R_CANNOT_NARROW, "seccomp: this container's runtime listens already");
	if (step == STEP_SECCOMP)
		return why_set(why, R_CANNOT_NARROW, "seccomp: %s", strerror(err));
	if (step == STEP_LANDLOCK && err == E2BIG)
		return why_set(why, R_CANNOT_NARROW, "landlock: too many layers already");
	if (step == STEP_LANDLOCK)
		return why_set(why, R_CANNOT_NARROW, "landlock: %s", strerror(err));
	errno = err;
	return why_errno(why, step == STEP_PRIVS ? "no_new_privs" : "listener");
}

int confine_take(struct confined *c, struct why *why)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control;
	char byte;
	struct iovec io = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &io, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof control,
	};
	if (c->ours < 0)
		return why_set(why, R_SYSTEM, "no listener was asked for");
	close(c->theirs);
	c->theirs = -1;
	ssize_t n;
	do
		n = recvmsg(c->ours, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);	/* sent before the gate: it is there */
	while (n < 0 && errno == EINTR);
	struct cmsghdr *head = n == 1 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (!head || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(sizeof(int)))
		return why_set(why, R_CANNOT_NARROW, "seccomp: the listener did not arrive");
	int fd;
	memcpy(&fd, CMSG_DATA(head), sizeof fd);
	return fd;
}

int confine_answer(int listener)
{
	/* The kernel writes its own size of the struct, which may have grown. */
	union { struct notif n; char room[NOTIF_ROOM]; } ask;
	for (int answered = 0; ; ) {
		struct pollfd p = { .fd = listener, .events = POLLIN };
		if (poll(&p, 1, 0) <= 0)
			return answered;
		if (!(p.revents & POLLIN))
			return p.revents & (POLLHUP | POLLERR | POLLNVAL) ? -1 : answered;
		memset(&ask, 0, sizeof ask);
		if (ioctl(listener, NOTIF_RECV, &ask) < 0) {
			if (errno == ENOENT || errno == EINTR)	/* whoever asked is dead */
				continue;
			return -1;
		}
		union { struct notif_resp r; char room[NOTIF_ROOM]; } answer;
		memset(&answer, 0, sizeof answer);
		answer.r.id = ask.n.id;
		answer.r.flags = NOTIF_CONTINUE;
		if (ioctl(listener, NOTIF_SEND, &answer) < 0 && errno != ENOENT)
			return -1;
		answered++;
	}
}

void confine_close(struct confined *c)
{
	int *const fds[] = { &c->ruleset, &c->ours, &c->theirs };
	for (int i = 0; i < 3; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

char *confine_describe(const struct confined *c, char dst[static 48])
{
	const struct { int has; const char *word; } parts[] = {
		{ c->files, "files" }, { c->tcp, "tcp" }, { c->scoped, "scoped" }, { c->bind_v4 || c->udp_send, "udp" },
	};
	*dst = 0;
	for (int i = 0; i < 4; i++) {
		if (!parts[i].has)
			continue;
		if (*dst)
			strcat(dst, ",");
		strcat(dst, parts[i].word);
	}
	return *dst ? dst : strcpy(dst, "no");
}
