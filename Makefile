# moorbox: one static binary, many applets. GNU make.
#
#   make                 ./moorbox: static-PIE, musl; the pinned libraries are built first if need be
#   make ARCH=aarch64    build/aarch64/moorbox, cross-compiled
#   make test            all tests; tests/run FILE 'CASE' runs one
#   make lint            layers, style, options against their case
#   make asan            build/asan/moorbox with clang's sanitizers; make test-asan: all tests on it
#   make single          every applet as a program of its own: no hidden coupling
#   make size            what each module and library weighs
#   make bench soak fuzz demo
#   make install         into DESTDIR and PREFIX, see config.mk
#   make dist            moorbox-VERSION.tar.xz, with gen/ in it
#   make clean           removes what make made (the libraries' cache stays)
#
#   make SYSROOT= CC=gcc DEPS_LIBS=...   with the libraries of this machine

include config.mk
# make V=1 shows the whole commands
say = $(if $(V),,@echo '  $1 $@' && )
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += -rR
HOST := $(shell uname -m)
B := build/$(ARCH)
T := $(if $(filter $(HOST),$(ARCH)),build/tests,$(B)/tests)

# The sysroot is asked for once; what deps/build says is kept until deps/ changes or the cache is gone.
ifneq ($(origin SYSROOT),command line)
ifneq ($(filter-out clean help lint dist prereqs fuzz asan test-asan,$(or $(MAKECMDGOALS),all)),)
include $(B)/sysroot.mk
endif
CC = $(SYSROOT_CC)
else
SYSROOT_CFLAGS = -fPIE -ffunction-sections -fdata-sections -fstack-protector-strong
SYSROOT_LDFLAGS = -pie -Wl,--gc-sections
endif

APPLETS := $(sort $(wildcard applets/*.c))
LIB := $(sort $(wildcard lib/*/*.c))
UNIT := $(patsubst tests/unit/%.c,$(T)/%,$(wildcard tests/unit/*_test.c))
BENCH := $(patsubst tests/bench/%.c,$(T)/bench/%,$(wildcard tests/bench/*.c))
FUZZ := $(patsubst tests/fuzz/%.c,build/asan/fuzz/%,$(wildcard tests/fuzz/*.c))

INCLUDES = -Ilib/base -Ilib/means -Ilib/tailnet -I$(B)/gen -Igen
WARN = -Wall -Wextra -Wshadow -Wmissing-prototypes -Wformat=2 -Wvla $(if $(CI),-Werror)
ifeq ($(ARCH),asan)
OPTIMIZE = -O1
else
OPTIMIZE = -Os -D_FORTIFY_SOURCE=2
LINK = -Wl,--build-id=none -Wl,-z,stack-size=1048576 $(PACK_$(ARCH))
endif
# Relative relocations are a tenth of the program unless they are packed, which GNU ld does for aarch64 from 2.44 on. A gcc that
# compiles for another machine finds lld only where it is shown to it.
PACK_x86_64 = -Wl,-z,pack-relative-relocs
PACK_aarch64 = -B$(B)/ld -fuse-ld=lld -Wl,--pack-dyn-relocs=relr
# The same input gives the same bytes in any folder: no absolute path, no date, no build id.
ALL_CFLAGS = -std=gnu11 $(OPTIMIZE) $(SYSROOT_CFLAGS) $(WARN) -D_GNU_SOURCE \
	-ffile-prefix-map=$(CURDIR)=. $(if $(SYSROOT),-ffile-prefix-map=$(SYSROOT)=sysroot) \
	$(INCLUDES) $(if $(SYSROOT),-DSYSROOT) $(SYSROOT_CPPFLAGS) $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(SYSROOT_CFLAGS) $(LINK) $(SYSROOT_LDFLAGS) $(LDFLAGS)
STRIP = $(or $(SYSROOT_STRIP),strip)

OBJ = $(patsubst %.c,$(B)/%.o,main.c $(APPLETS))
LIBOBJ = $(patsubst %.c,$(B)/%.o,$(LIB)) $(B)/gen/licenses.o $(B)/gen/roots.o

all: $(if $(filter $(HOST),$(ARCH)),moorbox,$(B)/moorbox)

moorbox: $(B)/moorbox
	@cp $< .$@.new && mv .$@.new $@

$(B)/moorbox: $(OBJ) $(B)/libmoorbox.a
	$(call say,LD)$(CC) $(ALL_LDFLAGS) -o $@.full $^ $(DEPS_LIBS)
	@$(if $(filter asan,$(ARCH)),cp $@.full $@,$(STRIP) -s -R .comment -o $@ $@.full)

$(B)/libmoorbox.a: $(LIBOBJ)
	@rm -f $@
	@$(or $(SYSROOT_AR),ar) rcsD $@ $^

ifeq ($(ARCH),aarch64)
$(B)/moorbox $(UNIT) $(BENCH) $(APPLETS:applets/%.c=$(B)/single/%): | $(B)/ld/ld.lld
$(B)/ld/ld.lld: $(wildcard $(B)/sysroot.mk)
	@mkdir -p $(@D)
	@ln -sf "$$(command -v ld.lld)" $@
endif

$(B)/%.o: %.c | gen/.done
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/gen/licenses.o: $(B)/gen/licenses.c
	$(call say,CC)$(CC) -c -w -o $@ $(ALL_CFLAGS) $<
$(B)/gen/roots.o: $(B)/gen/roots.c
	$(call say,CC)$(CC) -c -w -o $@ $(ALL_CFLAGS) $<

# ws-ls reads two records of each workspace: there it counts.
ifneq ($(ARCH),asan)
$(B)/lib/means/json.o: OPTIMIZE = -O2 -D_FORTIFY_SOURCE=2
endif
$(B)/main.o: $(B)/gen/versions.h
PREREQS_aarch64 = cross
PREREQS_asan = fuzz
DEPS = $(addprefix deps/,build Makefile recipes deps.lock mbedtls_config.h)
ifneq ($(origin SYSROOT),command line)
$(B)/sysroot.mk: $(DEPS) $(addsuffix /flags.mk,$(SYSROOT))
	@mkdir -p $(@D)
	@scripts/prereqs build $(PREREQS_$(ARCH))
	@s=$$(deps/build $(ARCH)) && { echo "SYSROOT := $$s"; cat "$$s/flags.mk"; } >$@.new
	@mv $@.new $@
%/flags.mk: ;
endif

# What is generated is rewritten only if it changed, so objects depend on the header, not on the stamp.
gen/.done: scripts/gen scripts/gen.awk completions/values config.mk main.c $(APPLETS)
	@mkdir -p gen
	@AWK='$(AWK)' scripts/gen gen '$(VERSION)' '$(DATE)' completions/values main.c $(APPLETS)
gen/%.h: gen/.done
	@:
$(B)/gen/versions.h: $(wildcard $(B)/sysroot.mk) config.mk $(B)/gen/roots.c
	@mkdir -p $(@D)
	@{ echo '#define LINKED_VERSIONS ""'; { cat /dev/null $(addsuffix /VERSIONS,$(SYSROOT)); \
		sed -n 's,.*made by deps/roots: \(.*\) \*/,roots \1,p' $(B)/gen/roots.c; } | sed 's/.*/	"&\\n"/'; } | \
		sed '$$!s/$$/ \\/' >$@
$(B)/gen/roots.c: deps/roots deps/roots.lock
	@mkdir -p $(@D)
	@deps/roots $@
LICENSES = $(wildcard LICENSE) $(filter-out %/README,$(sort $(wildcard docs/licenses/*)))
$(B)/gen/licenses.c: scripts/licenses $(LICENSES)
	@mkdir -p $(@D)
	@scripts/licenses $(LICENSES) >$@

$(T)/%_test: tests/unit/%_test.c $(B)/libmoorbox.a
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -o $@ $< $(B)/libmoorbox.a $(DEPS_LIBS)
$(T)/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $<
build/asan/fuzz/%: tests/fuzz/%.c $(B)/libmoorbox.a
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_CFLAGS) -Wno-missing-prototypes -fsanitize=fuzzer -MMD -MP $(ALL_LDFLAGS) -o $@ $< $(B)/libmoorbox.a $(DEPS_LIBS)

unit: $(UNIT)
fuzzers: $(FUZZ)
# All of it: for this machine, for aarch64 under emulation, and under the sanitizers. Without Go there is no lab, and
# what needs one is skipped with a line that says so.
test:
	@scripts/prereqs build cross test fuzz
	@$(MAKE) --no-print-directory all unit
	@$(MAKE) --no-print-directory ARCH=aarch64 all unit
	@$(MAKE) --no-print-directory ARCH=asan all unit fuzzers
	@! scripts/prereqs lab || tests/lab/lab build >/dev/null
	@scripts/lint
	@tests/run
test-compat: all
	@scripts/prereqs build test
	@tests/run tests/compat/*.test
lint:
	@scripts/lint
asan:
	$(MAKE) ARCH=asan all unit
test-asan: asan
	MOORBOX_BIN=build/asan/moorbox MOORBOX_UNIT=build/asan/tests tests/run
size: all
	@scripts/size $(B)
single: all
	@$(MAKE) -s $(APPLETS:applets/%.c=$(B)/single/%)
$(B)/single/%: applets/%.c main.c $(B)/libmoorbox.a
	@mkdir -p $@.gen
	@scripts/gen $@.gen '$(VERSION)' '$(DATE)' completions/values main.c $<
	@$(CC) -I$@.gen $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ main.c $< $(B)/libmoorbox.a $(DEPS_LIBS)
	@$(STRIP) -s $@ && rm -rf $@.gen && ls -l $@ | awk '{ print $$5 "\t$*" }'
bench: all $(BENCH)
	@scripts/prereqs build lab
	tests/bench/run
soak: all
	@scripts/prereqs build test
	tests/soak/run
demo:
	@scripts/prereqs build test
	@$(MAKE) --no-print-directory all
	@scripts/demo
fuzz:
	$(MAKE) ARCH=asan fuzzers
	tests/fuzz/run $(or $(SEC),60)
prereqs:
	scripts/prereqs build cross test fuzz bench lab
install: all
	DESTDIR='$(DESTDIR)' ./install.sh --prefix '$(PREFIX)' --from ./moorbox
dist: gen/.done
	@d=moorbox-$(VERSION); { git ls-files; find gen -type f; } | sort -u | tar -c --xz -T - -f $$d.tar.xz \
		--transform "s,^,$$d/," --owner=0 --group=0 --numeric-owner --mtime='$(DATE) UTC' && echo $$d.tar.xz
clean:
	rm -rf build gen moorbox .moorbox.new
help:
	@sed -n '/^$$/q;s/^# \{0,1\}//p' Makefile

.PHONY: all unit fuzzers test test-compat lint asan test-asan size single bench soak demo fuzz prereqs \
	install dist clean help
-include $(OBJ:.o=.d) $(LIBOBJ:.o=.d) $(UNIT:=.d) $(FUZZ:=.d)
