# Seawall.
#
#   make                            the programs, in build/release
#   make install DESTDIR= prefix=   programs, man pages, completion, SQL, systemd unit
#   make check                      style, unit tests and command line, in two minutes; sh tests/run.sh runs everything
#   make check-asan check-tsan check-pg check-fuzz bench
#   make format doc                 clang-format; the documents that are printed from tables
#
# KIND is release (default), debug, asan or tsan; each has its own folder below BUILD.

KIND    ?= release
BUILD   ?= build
O       := $(BUILD)/$(KIND)
CC      ?= gcc
prefix  ?= /usr/local
VERSION := 0.1.0

LAYERS  := base hook loop codec pg net store repo job config server cli

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
            -Wpointer-arith -Wwrite-strings -Wundef -Wno-missing-field-initializers -Werror
FLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
FLAGS_debug   := -O0 -g -DSEAWALL_FAULTS
FLAGS_asan    := -O1 -g -DSEAWALL_FAULTS -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS_fuzz    := $(FLAGS_asan) -fsanitize=fuzzer-no-link
FLAGS_tsan    := -O1 -g -DSEAWALL_FAULTS -fsanitize=thread -fno-omit-frame-pointer
LINK_release  := -Wl,-z,relro,-z,now

LIBRARIES := libcurl libpq openssl liblz4 libzstd libxxhash libmicrohttpd jansson
override CFLAGS  += -std=gnu11 -Iinclude -MMD -MP -D_GNU_SOURCE -DSEAWALL_VERSION='"$(VERSION)"' \
            $(WARNINGS) $(FLAGS_$(KIND)) $(shell pkg-config --cflags $(LIBRARIES))
override LDFLAGS += $(FLAGS_$(KIND)) $(LINK_$(KIND)) -pthread
LDLIBS  := $(shell pkg-config --libs $(LIBRARIES)) -lev -lm

# Programs: src/cli/main.c is `seawall`, src/hook/main.c is `seawall-wal` (libc only).
MAINS    := src/cli/main.c src/hook/main.c
SRC      := $(filter-out $(MAINS),$(sort $(wildcard $(LAYERS:%=src/%/*.c))))
OBJ      := $(SRC:%.c=$(O)/%.o)
HOOK_SRC := $(sort $(wildcard src/base/*.c) $(filter-out src/hook/main.c,$(wildcard src/hook/*.c)))
HOOK_OBJ := $(HOOK_SRC:%.c=$(O)/%.o)
PROGRAMS := $(if $(wildcard src/cli/main.c),$(O)/seawall) $(if $(wildcard src/hook/main.c),$(O)/seawall-wal)

# Unit tests mirror src: tests/unit/<layer>/<file>_test.c; a test links its layer and those above it.
UNIT_SRC := $(sort $(wildcard tests/unit/*/*_test.c tests/store/*_test.c tests/fault/*_test.c))
UNIT     := $(UNIT_SRC:%.c=$(O)/%)

# Fuzz harnesses: tests/fuzz/<name>_fuzz.c, their saved inputs in tests/fuzz/corpus/<name>/.
FUZZ_SRC := $(sort $(wildcard tests/fuzz/*_fuzz.c))
FUZZ     := $(FUZZ_SRC:%.c=$(O)/%)

# Small programs that the tests run.
TOOLS := $(patsubst %.c,$(O)/%,$(sort $(wildcard tests/tools/*.c)))

.PHONY: all check check-asan check-tsan check-pg check-fuzz unit unit-programs fuzz-programs
.PHONY: bench install format clean doc
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAMS)

# Programs and tests take from these what they call, and nothing else.
ARCHIVE = @mkdir -p $(@D); rm -f $@; $(AR) rcsT $@ $^

$(O)/seawall.a: $(OBJ)
	$(ARCHIVE)

$(O)/seawall: $(O)/src/cli/main.o $(O)/seawall.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(O)/seawall-wal: $(O)/src/hook/main.o $(HOOK_OBJ)
	$(CC) $(LDFLAGS) -o $@ $^

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

# layers-to NAME: the folders from base down to NAME, in the order of the table.
layers-to = $(shell for l in $(LAYERS); do echo $$l; [ $$l = $(1) ] && break; done)
objects-to = $(filter $(foreach l,$(call layers-to,$(1)),$(O)/src/$(l)/%.o),$(OBJ))

# Compiles and links one test program; headers are prerequisites by its .d file.
link-test = $(CC) $(CFLAGS) -Itests $(LDFLAGS) -o $@ $(filter-out %.h,$^) $(LDLIBS)

define unit-rule
$$(O)/to-$(1).a: $$(call objects-to,$(1))
	$$(ARCHIVE)

$$(O)/tests/unit/$(1)/%_test: tests/unit/$(1)/%_test.c $$(O)/to-$(1).a
	@mkdir -p $$(@D)
	$$(link-test) -lcmocka
endef
$(foreach l,$(LAYERS),$(eval $(call unit-rule,$(l))))

$(O)/tests/store/%_test: tests/store/%_test.c $(O)/to-store.a
	@mkdir -p $(@D)
	$(link-test) -lcmocka

$(O)/tests/fault/%_test: tests/fault/%_test.c $(O)/seawall.a
	@mkdir -p $(@D)
	$(link-test) -lcmocka

# Small programs that the tests run: tests/tools/<name>.c.
$(O)/tests/tools/longarchive: tests/tools/longarchive.c $(O)/to-repo.a
	@mkdir -p $(@D)
	$(link-test)

$(O)/tests/tools/%: tests/tools/%.c $(O)/to-store.a
	@mkdir -p $(@D)
	$(link-test)

$(O)/tests/fuzz/replay.o: override CFLAGS += -Itests

$(O)/tests/fuzz/%_fuzz: tests/fuzz/%_fuzz.c $(O)/tests/fuzz/replay.o $(O)/seawall.a
	@mkdir -p $(@D)
	$(link-test)

# Looks for new inputs until it is stopped: make fuzz-manifest
fuzz-%:
	$(MAKE) KIND=fuzz CC=clang-14 build/fuzz/look/$*
	mkdir -p build/fuzz/found/$*
	build/fuzz/look/$* build/fuzz/found/$* tests/fuzz/corpus/$*

$(O)/look/%: tests/fuzz/%_fuzz.c $(O)/seawall.a
	@mkdir -p $(@D)
	$(link-test) -fsanitize=fuzzer

unit-programs: $(UNIT) $(TOOLS)
fuzz-programs: $(FUZZ)

unit: $(UNIT)
	@set -e; for t in $(filter-out $(O)/tests/store/s3_%,$(UNIT)); do echo "== $$t"; $$t; done

# The tests themselves are described in tests/README.md; --as-is installs nothing.
check:
	sh tests/run.sh --as-is style unit cli
check-asan:
	sh tests/run.sh --as-is asan
check-tsan:
	sh tests/run.sh --as-is tsan
check-pg:
	sh tests/run.sh --as-is pg versions
check-fuzz:
	sh tests/run.sh --as-is fuzz
bench: all
	sh tests/bench/run.sh

install: all
	install -D -m 755 -t $(DESTDIR)$(prefix)/bin $(PROGRAMS)
	install -D -m 644 -t $(DESTDIR)$(prefix)/share/man/man1 $(wildcard doc/man/*.1)
	install -D -m 644 packaging/seawall.bash $(DESTDIR)$(prefix)/share/bash-completion/completions/seawall
	install -D -m 644 -t $(DESTDIR)$(prefix)/share/doc/seawall LICENSE packaging/seawall.conf $(wildcard README.md doc/*.md)
	install -D -m 644 -t $(DESTDIR)$(prefix)/share/seawall/sql $(wildcard sql/*.sql)
	@mkdir -p $(DESTDIR)$(prefix)/lib/systemd/system
	sed 's|@bindir@|$(prefix)/bin|' packaging/seawall.service > $(DESTDIR)$(prefix)/lib/systemd/system/seawall.service

# Prints what is written in the tables of options and commands into the files that are committed.
doc: $(O)/seawall
	rm -f doc/man/*.1
	$(O)/seawall doc man all doc/man
	$(O)/seawall doc sample > packaging/seawall.conf
	$(O)/seawall doc completion > packaging/seawall.bash
	$(O)/seawall doc commands-md > doc/commands.md

format:
	clang-format-14 -i $(shell find src include contrib tests -name '*.[ch]' 2>/dev/null)

clean:
	rm -rf $(BUILD)

-include $(OBJ:.o=.d) $(O)/src/cli/main.d $(O)/src/hook/main.d $(UNIT:=.d) $(FUZZ:=.d)
