/* progress - how far a long piece of work has come: one line that is overwritten, on a terminal only
 *
 * Never with -q, nor with CI set, nor when stderr is a file or a pipe.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

void progress_show(const char *what, long long done, long long total);	/* bytes; total 0: not known. As often as one likes. */
void progress_end(void);	/* takes the line away: before anything else is said */

#endif
