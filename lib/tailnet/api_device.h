/* api_device - the API's devices: listed, looked up, deleted
 *
 * Source: Tailscale's API documentation, "Devices".
 */
#ifndef API_DEVICE_H
#define API_DEVICE_H
#include "api.h"

struct api_device {
	char id[64];			/* what api_delete_node takes: the node id, where there is one */
	char name[API_TEXT];		/* DNS name */
	char hostname[API_TEXT], user[API_TEXT], os[32];
	char tags[API_TAGS][64];
	int ntags;
	int connected;			/* 1, 0; -1 not said (headscale) */
	int ephemeral, authorized, external;
	long long created, last_seen, expires;	/* 0: not said */
};

/* Every device, however many: one in memory at a time. query: filters, such as "tags=tag:ws", or NULL (headscale ignores them).
 * A positive answer of fn's ends it and is the answer; else 0, or -1. */
int api_devices(struct api *, const char *query, int (*fn)(const struct api_device *, void *), void *ctx,
	long long deadline, struct why *);

/* One of them: 1, 0 there is none, -1. */
int api_device_get(const struct api *, const char *node_id, struct api_device *, long long deadline, struct why *);

/* It goes by this host name, or by one that the server made of it ("web-1"). */
int api_device_is(const struct api_device *, const char *hostname);

/* One that is not there counts as deleted. */
int api_delete_node(const struct api *, const char *node_id, long long deadline, struct why *);
/* The same, looked at before: 1, and nothing is deleted, when the id is another node's by now (hostname "": not known).
 * headscale's ids are numbers, which a new server begins anew. */
int api_delete_ours(const struct api *, const char *node_id, const char *hostname, long long deadline, struct why *);

#endif
