/* left - has the program at the other end of a local connection gone for good, or has it only closed one way?
 *
 * Both send the same bytes: a TCP FIN. But the kernel knows whether the other socket still belongs to somebody, when it is
 * on this machine (and in our network namespace), and tells by NETLINK_SOCK_DIAG; a unix socket tells by itself.
 */
#ifndef LEFT_H
#define LEFT_H

int left_for_good(int fd);	/* 1: nobody holds the other end; 0: somebody does; -1: cannot be told */

#endif
