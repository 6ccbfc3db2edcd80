/* install - Tailscale's programs below a prefix: staged, switched to, gone back from, removed
 *
 *	PREFIX/lib/moorbox/
 *	  VERSION/tailscaled, tailscale	nothing else; 0755; never written again once they have this name
 *	  VERSION.json		its receipt; a folder without one is not finished, and is removed by the next call
 *	  apt-seen.json		see seen.h
 *	  current		symlink to VERSION: the one thing that is switched, by rename
 *	  .lock .stage.PID	who works here; what is being written
 *
 * A kill at any point leaves the old version or the new one, and the next call cleans up. A tailscaled that runs keeps
 * its file: its version is not removed while it does.
 */
#ifndef INSTALL_H
#define INSTALL_H
#include "err.h"

struct install {
	int dir, lock;			/* lock -1: only looked at */
	char path[4000];		/* PREFIX/lib/moorbox */
	char current[32];		/* "": none */
};

struct receipt {
	char version[32], arch[16];
	char file[128], source[600];	/* what it was called, and where it came from */
	char chain[12], signer[80], root[256];	/* root: "tailscale", or the file that was trusted instead */
	char sha256[65];		/* of the archive */
	char tailscaled[65], tailscale[65];	/* SHA-256 of the programs; tailscale "": left out */
	char before[32];		/* what was current before it; "" */
	long long size, built, when;
};

/* prefix NULL: /usr/local for root, else ~/.local. With change the folders are made, it is ours until install_close
 * ([busy] at the deadline), and what an interrupted call left is removed. 0; -1; without change also errno ENOENT: nothing. */
int  install_open(struct install *, const char *prefix, int change, long long deadline, struct why *);
void install_close(struct install *);

int  install_receipt(const struct install *, const char *version, struct receipt *);	/* 1, or 0: no such version, or no receipt */
int  install_intact(const struct install *, const struct receipt *);	/* are the programs what the receipt says? */

int  install_stage(const struct install *, char name[static 32], struct why *);	/* an empty folder; its descriptor */
void install_unstage(const struct install *, const char *name);

/* Makes a stage VERSION: hashes its programs into the receipt, fsyncs, renames, writes the receipt. Then install_switch. */
int  install_commit(struct install *, const char *stage, struct receipt *, struct why *);
int  install_switch(struct install *, struct receipt *, struct why *);	/* records what was current before, and makes it current */

/* Who runs tailscaled from this version: workspaces' names, or "pid N", joined by ", "; how many. -1: cannot be told. */
int  install_users(const struct install *, const char *version, char *names, int size);

/* fn for each version with a receipt, newest first. */
void install_each(const struct install *, void (*fn)(const struct receipt *, void *), void *ctx);

int  install_remove(const struct install *, const char *version, struct why *);	/* not the current one */
/* All but the current one, the one before it, and those in use. fn is told who keeps one. */
void install_prune(const struct install *, void (*kept)(const char *version, const char *users));
int  install_remove_all(struct install *, struct why *);	/* current first */

/* The newest release in a folder: of version, if given, with something for arch. Its path. 0; -1, [no-release]. */
int  install_pick(const char *folder, const char *version, const char *arch, char *path, int size, struct why *);

#endif
