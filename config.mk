# What a packager may want to change.

VERSION = 0.1.0
DATE = November 25, 2026

# Where `make install` puts things.
PREFIX = /usr/local
DESTDIR =

# x86_64 or aarch64.
ARCH = $(shell uname -m)

# Any POSIX awk.
AWK = awk
