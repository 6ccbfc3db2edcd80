/* ustar - one header of a tar, read strictly and written plainly
 *
 * Read: POSIX ustar and GNU's magic, octal numbers, a right checksum. What changes the meaning of the next header
 * (pax, GNU long names, sparse) is refused rather than understood, and so is a number in base 256.
 */
#ifndef USTAR_H
#define USTAR_H
#include "err.h"

enum { USTAR_BLOCK = 512, USTAR_NAME = 256 };

struct ustar {
	char name[USTAR_NAME + 1];	/* with its prefix, without a leading "./"; a directory without the slash at its end */
	char type;			/* '0' regular, '5' directory, else as written ('1' hard link, '2' symlink...) */
	long long size;			/* of the data that follows; 0 for all but regular files */
	long long mtime;
	unsigned mode;
};

enum { USTAR_ENTRY = 1, USTAR_END = 0 };	/* END: a block of zeros */
int  ustar_read(const unsigned char block[static USTAR_BLOCK], struct ustar *, struct why *);	/* or -1, [bad-archive] */
/* name: below 100 bytes */
void ustar_write(unsigned char block[static USTAR_BLOCK], const char *name, long long size, long long mtime, unsigned mode);
int  ustar_name_ok(const char *);	/* relative, no empty part, no . or .., no control byte or backslash */

#endif
