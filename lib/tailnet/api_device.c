/* api_device - the API's devices: listed, looked up, deleted */
#include "api_device.h"
#include <string.h>

static void device_of(const struct json *j, struct api_device *d)
{
	*d = (struct api_device){0};
	api_text_of(j, json_get(j, 0, "nodeId"), d->id, sizeof d->id);
	if (!*d->id)
		api_text_of(j, json_get(j, 0, "id"), d->id, sizeof d->id);
	api_text_of(j, json_get(j, 0, "name"), d->name, sizeof d->name);
	api_text_of(j, json_get(j, 0, "hostname"), d->hostname, sizeof d->hostname);
	api_text_of(j, json_get(j, 0, "user"), d->user, sizeof d->user);
	api_text_of(j, json_get(j, 0, "os"), d->os, sizeof d->os);
	api_list_of(j, json_get(j, 0, "tags"), d->tags, &d->ntags);
	d->connected = json_bool(j, json_get(j, 0, "connectedToControl"));
	d->ephemeral = json_is_true(j, 0, "isEphemeral");
	d->authorized = json_is_true(j, 0, "authorized");
	d->external = json_is_true(j, 0, "isExternal");
	d->created = api_stamp(j, 0, "created");
	d->last_seen = api_stamp(j, 0, "lastSeen");
	d->expires = api_stamp(j, 0, "expires");
}

struct devices_to { int (*fn)(const struct api_device *, void *); void *ctx; };

static int give_device(const struct json *j, void *ctx)
{
	const struct devices_to *to = ctx;
	struct api_device d;
	device_of(j, &d);
	return to->fn(&d, to->ctx);
}

int api_devices(struct api *a, const char *query, int (*fn)(const struct api_device *, void *), void *ctx,
	long long deadline, struct why *why)
{
	struct api_call c = {.what = "list the devices", .method = "GET", .again = 1, .scope = "devices:core:read"};
	if (str_fmt(c.path, sizeof c.path, "/api/v2/tailnet/-/devices%s%s", query ? "?" : "", query ? query : "") < 0)
		return why_set(why, R_TOO_BIG, "list the devices: the filter is too long");
	return api_ask_list(a, &c, "devices", give_device, &(struct devices_to){fn, ctx}, &a->date, deadline, why);
}

static int device_call(struct api_call *c, const char *node_id, struct why *why)
{
	if (!*node_id || strspn(node_id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != strlen(node_id))
		return why_set(why, R_BAD_STATE, "no usable node id is recorded");
	return str_fmt(c->path, sizeof c->path, "/api/v2/device/%s", node_id) < 0 ? why_set(why, R_TOO_BIG, "the node id is too long") : 0;
}

int api_device_get(const struct api *a, const char *node_id, struct api_device *d, long long deadline, struct why *why)
{
	struct api_call c = {.what = "look the node up", .method = "GET", .again = 1, .scope = "devices:core:read"};
	struct api_answer r;
	if (device_call(&c, node_id, why) < 0)
		return -1;
	if (api_ask_json(a, &c, &r, deadline, why) < 0)
		/* a 404 without words of the API's may be a proxy's */
		return r.status == 404 && why->reason == R_API_ERROR && strstr(why->msg, " 404: ") ? 0 : -1;
	device_of(&r.j, d);
	int is_it = json_str_eq(&r.j, json_get(&r.j, 0, "nodeId"), node_id) || json_str_eq(&r.j, json_get(&r.j, 0, "id"), node_id);
	api_done(&r);
	return is_it ? 1 : why_set(why, R_API_ERROR, "look the node up: the API answers with another node");
}

int api_delete_node(const struct api *a, const char *node_id, long long deadline, struct why *why)
{
	struct http_res res = {0};
	struct api_call c = {.what = "delete the node", .method = "DELETE", .again = 1, .scope = "devices:core"};
	if (device_call(&c, node_id, why) < 0)
		return -1;
	int rc = api_ask(a, &c, &res, deadline, why);
	if (!rc && res.status / 100 != 2 && res.status != 404)
		rc = api_explain(a, &c, &res, why);
	http_res_free(&res);
	return rc;
}

int api_device_is(const struct api_device *d, const char *hostname)
{
	size_t n = strlen(hostname);
	if (str_eq(d->hostname, hostname))
		return 1;
	if (strncmp(d->name, hostname, n))
		return 0;
	const char *rest = d->name + n;
	if (*rest == '-')
		rest += 1 + strspn(rest + 1, "0123456789");
	return !*rest || *rest == '.';
}

int api_delete_ours(const struct api *a, const char *node_id, const char *hostname, long long deadline, struct why *why)
{
	struct api_device d;
	int rc = *hostname ? api_device_get(a, node_id, &d, deadline, why) : 1;
	if (rc <= 0)
		return rc;
	if (*hostname && !api_device_is(&d, hostname))
		return 1;
	return api_delete_node(a, node_id, deadline, why);
}
