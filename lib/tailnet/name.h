/* name - the name that the tailnet gave a workspace's node, and whether it is the one that was asked for */
#ifndef NAME_H
#define NAME_H
#include "localapi.h"
#include "workspace.h"

/* 0 when it is ws->spec.hostname, or any will do; [name-held] by a dead node of ours, [name-taken] by another. */
int name_check(const struct ws_root *, const struct ws *, const struct localapi *, const struct node_status *,
	long long deadline, struct why *);

/* A new DNS name comes with a later netmap; a control server that gives none leaves the old one. *st is read again until then. */
int name_await(const struct ws *, const struct localapi *, struct node_status *st, long long deadline, struct why *);

#endif
