/* seen - the date of the newest index that was accepted of an apt repository
 *
 * Signatures of an index stay valid; so an old one, with the holes that were mended since, could be served for ever.
 * A file of JSON lines in a folder of the caller's: {"url":"https://...","suite":"stable","date":1790000000}.
 */
#ifndef SEEN_H
#define SEEN_H
#include "err.h"

enum { SEEN_MAX = 256 };	/* repositories; the one that was not seen for longest goes */

long long seen_date(int dir, const char *url, const char *suite);	/* unix time; 0: none */
int seen_keep(int dir, const char *url, const char *suite, long long date, struct why *);	/* never back. 0, or -1 */

#endif
