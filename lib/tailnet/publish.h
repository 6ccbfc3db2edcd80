/* publish - what ts-serve is told to publish */
#ifndef PUBLISH_H
#define PUBLISH_H
#include "mapping.h"

/* A port, URL, file or directory of this machine, text:TEXT or unix:/PATH, at path; with the TCP kinds a port or HOST:PORT of this
 * machine. Fills in target, in the one form that tailscaled and our record have of it, and path; the kind is there already.
 * 0; -1: [usage], or why the file cannot be had. */
int publish_read(const char *typed, const char *path, struct mapping *, struct why *);
int publish_is_port(const char *);

#endif
