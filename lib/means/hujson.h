/* hujson - JSON with comments and trailing commas, as policies are written in
 *
 * Source: github.com/tailscale/hujson: JSON and C-style comments, and one comma before a closing bracket.
 */
#ifndef HUJSON_H
#define HUJSON_H
#include "err.h"
#include <stddef.h>

/* Blanks the comments and trailing commas out, in place, so that json_parse can read it and every byte keeps its place.
 * Invalid UTF-8 and what else is no JSON is for json_parse to refuse. -1: a comment or a string that never ends: [bad-policy]. */
int hujson_plain(char *text, size_t len, struct why *);

#endif
