# Seawall: make, make check, make install DESTDIR= prefix=, make bench.
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

.PHONY: all check check-asan check-tsan check-pg check-fuzz unit bench install format clean doc
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAMS)

$(O)/seawall: $(O)/src/cli/main.o $(OBJ)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(O)/seawall-wal: $(O)/src/hook/main.o $(HOOK_OBJ)
	$(CC) $(LDFLAGS) -o $@ $^

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

# layers-to NAME: the folders from base down to NAME, in the order of the table.
layers-to = $(shell for l in $(LAYERS); do echo $$l; [ $$l = $(1) ] && break; done)
objects-to = $(filter $(foreach l,$(call layers-to,$(1)),$(O)/src/$(l)/%.o),$(OBJ))

define unit-rule
$$(O)/tests/unit/$(1)/%_test: tests/unit/$(1)/%_test.c $$(call objects-to,$(1))
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS) -Itests $$(LDFLAGS) -o $$@ $$^ $$(LDLIBS) -lcmocka
endef
$(foreach l,$(LAYERS),$(eval $(call unit-rule,$(l))))

$(O)/tests/store/%_test: tests/store/%_test.c $(call objects-to,store)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Itests $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

$(O)/tests/fault/%_test: tests/fault/%_test.c $(OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Itests $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

unit: $(UNIT)
	@set -e; for t in $(UNIT); do echo "== $$t"; $$t; done

-include $(OBJ:.o=.d) $(O)/src/cli/main.d $(O)/src/hook/main.d $(UNIT:=.d)
