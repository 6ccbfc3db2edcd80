/* gobuild - Tailscale's programs built by the machine's own go, from the module proxy
 *
 * The newest stable version that this go can build (each version's go.mod says), or the one that is asked for. Nothing
 * else than go itself is asked or believed: what it fetches it checks by its checksum database, unless that is off. The
 * programs are stamped as a release is, and have WebSocket DERP in them (ts_debug_websockets).
 */
#ifndef GOBUILD_H
#define GOBUILD_H
#include "err.h"

struct gobuild {
	char go[32];			/* "1.26.8" */
	char sumdb[64];			/* who vouches for the modules: "sum.golang.org"; "": nobody, it is switched off */
	char version[32];		/* of Tailscale; "": the newest, to be found out */
	const char *dir;		/* an empty folder of ours: where it works and where the programs go */
};

int gobuild_look(struct gobuild *, struct why *);	/* fills in the rest. 0; -1, [no-go], [no-release] */
int gobuild_make(const struct gobuild *, int fd, unsigned parts, struct why *);	/* fd: of dir. 0; -1, [build-failed] */

#endif
