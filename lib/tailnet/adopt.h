/* adopt - a verified archive, or what this machine's go has built, becomes what is installed
 *
 * Looked at whole before anything of it is there; staged, then switched to. What is installed already, whole, is only
 * switched to. Whatever fails, the installation is as it was.
 */
#ifndef ADOPT_H
#define ADOPT_H
#include "err.h"
#include "install.h"
#include "pin.h"
#include "trust.h"

struct adopt {
	struct install *in;		/* opened for change, unless dry_run */
	struct trust_how *how;		/* what it has to be; stage and parts are filled in here */
	const char *source;		/* what it is called by whoever wants it */
	int dry_run;			/* verify only; done says what would be */
	int force;			/* replace the same version of other bytes */
	int allow_downgrade, daemon_only;

	enum { ADOPT_INSTALLED, ADOPT_SWITCHED, ADOPT_ALREADY } done;
	struct receipt r;		/* of what is current now */
	struct pin pin;			/* of the archive */
	char before[32];		/* what was current until now; "" */
};

/* A bundle or an archive. 0; -1: trust.h's reasons, [downgrade], [other-build], [wrong-version] [wrong-arch] not what its
 * name says. */
int adopt_file(struct adopt *, const char *path, struct why *);

/* version NULL: the newest that go can build; told is called before it builds. 0; -1: gobuild.h's reasons, [downgrade]. */
int adopt_go(struct adopt *, const char *version, void (*told)(const char *version, const char *go, const char *sumdb), struct why *);

/* Is that version the current one, for the machine that is wanted, whole, and not to be replaced? Then r is its receipt. */
int adopt_is_current(struct adopt *, const char *version);

#endif
