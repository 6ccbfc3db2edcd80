/* rec - records on stdout: one a line, tab between fields; or NUL-ended; or JSON lines
 *
 * Between rec_begin and rec_end each field is given once, in the order of the columns. An absent value
 * is an empty field (null in JSON), so columns never move; new ones go at the end.
 * On a terminal, with a heading asked for, a list is an aligned table; in a pipe never.
 */
#ifndef REC_H
#define REC_H
#include <stddef.h>

enum rec_mode { REC_LINE, REC_NUL, REC_JSON, REC_NONE };

struct rec {
	enum rec_mode mode;
	int table;		/* ask for an aligned table with a heading if stdout is a terminal */
	/* private */
	int fields, rows, open, is_table;	/* is_table: 0 until looked, then 1 no, 2 yes */
	struct rec_table *t;
};

void rec_begin(struct rec *);		/* a new record */
void rec_str(struct rec *, const char *name, const char *value);	/* NULL: absent */
void rec_num(struct rec *, const char *name, long long);
void rec_bool(struct rec *, const char *name, int);			/* yes, no; true, false in JSON */
void rec_list(struct rec *, const char *name, const char *const *values);	/* NULL-ended; joined by ',' in lines */
void rec_end(struct rec *);		/* writes the record at once (flushes when it is a pipe) */
void rec_finish(struct rec *);		/* prints a table that was held back */

/* Appends a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
struct buf;
void rec_json_str(struct buf *, const char *, size_t len);

#endif
