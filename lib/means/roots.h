/* roots - whom TLS trusts: certificates that the user or the system names, and those that are built in
 *
 * First comes one of: ca; the file that TS_CA_FILE, SSL_CERT_FILE, CURL_CA_BUNDLE, NIX_SSL_CERT_FILE or
 * REQUESTS_CA_BUNDLE names, whichever is set first in this order; every file in the directories of SSL_CERT_DIR; the
 * system's bundle. To it are added, as in Node, those of NODE_EXTRA_CA_CERTS, and the roots that are built in:
 * Mozilla's, of the day that `moorbox --version` says. Nothing is read before the first https.
 */
#ifndef ROOTS_H
#define ROOTS_H
#include "err.h"
#include <stddef.h>

/* The file that it comes from. NULL: there is none, or, with [bad-ca], the one that is named cannot be read. */
const char *roots_file(const char *ca, struct why *);

/* All of them, kept for the life of the process. NULL with [bad-ca]: what is named cannot be read, or holds no
 * certificate; [control-tls]: there are none at all. One that cannot be understood does not spoil the others. */
struct mbedtls_x509_crt;
struct mbedtls_x509_crt *roots_chain(const char *ca, struct why *);

int roots_is_built_in(const unsigned char *der, size_t len);	/* is it one of ours? */
size_t roots_built_in(void);		/* bytes of them; 0: built without */

/* Base64 as PEM has it, decoded in place, passing over line ends and padding; its length. */
size_t roots_unbase64(unsigned char *text, size_t len);

#endif
