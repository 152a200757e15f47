# cnnlua: `make mnist` runs the main job, `make test` every test; each sets the machine up first.
#
# Objects lie under build/$(FLAVOUR); a flavour is a set of compiler flags (release, asan).
# Everything in core/ becomes libcnn; bindings/ becomes the module cnn.so and, with main.c, the program.

PREFIX  ?= /usr/local
DESTDIR ?=
FLAVOUR ?= release
B       := build/$(FLAVOUR)
VERSION := 0.1.0

CC      ?= cc
CSTD    := -std=c11 -D_GNU_SOURCE
WARN    := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes
ifeq ($(FLAVOUR),asan)
OPT     := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
else
OPT     := -O3 -g -fno-math-errno -fno-trapping-math
endif

PKGS    := lua5.4 openblas hdf5 libzip libcjson zlib libedit stb
# Found once, and only where needed: pkg-config is itself one of the packages that setup installs.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(shell pkg-config --libs openblas hdf5 libzip libcjson zlib))$(PKG_LIBS)
LUA_LIBS   = $(eval LUA_LIBS := $$(shell pkg-config --libs lua5.4))$(LUA_LIBS)

CFLAGS   = $(CSTD) $(OPT) $(WARN) -fPIC -fopenmp -fvisibility=hidden -MMD -MP -Icore $(PKG_CFLAGS)
LDFLAGS  = $(filter -fsanitize=%,$(OPT)) -fopenmp
LIBS     = $(PKG_LIBS) -lm -lpthread

# Each kernel file is compiled once per instruction set; core/kernels/dispatch.c chooses at run time.
ARCH     := $(shell uname -m)
ifeq ($(ARCH),x86_64)
ISAS     := sse2 avx2 avx512
else
ISAS     := generic
endif
ISA_sse2    := -march=x86-64
ISA_avx2    := -march=haswell
ISA_avx512  := -march=skylake-avx512 -mprefer-vector-width=512
ISA_generic :=

KERNELS  := $(filter-out core/kernels/dispatch.c,$(wildcard core/kernels/*.c))
CORE     := $(filter-out $(KERNELS),$(wildcard core/*/*.c))
KOBJS    := $(foreach isa,$(ISAS),$(KERNELS:%.c=$(B)/%.$(isa).o))
COBJS    := $(CORE:%.c=$(B)/%.o) $(KOBJS)
PRELUDE  := $(wildcard bindings/prelude/*.lua) $(wildcard datasets/*.lua)
MODULE   := $(filter-out bindings/main.c bindings/repl.c,$(wildcard bindings/*.c))
MOBJS    := $(MODULE:%.c=$(B)/%.o) $(B)/prelude.o
POBJS    := $(B)/bindings/main.o $(B)/bindings/repl.o
CTESTS   := $(patsubst %.c,$(B)/%,$(wildcard tests/c/test_*.c))

.PHONY: all setup mnist test check asan lint bench oracle install uninstall clean
.DELETE_ON_ERROR:
.SECONDARY:

all: $(if $(filter release,$(FLAVOUR)),cnnlua) $(B)/cnnlua $(B)/cnn.so $(B)/libcnn.so

cnnlua: $(B)/cnnlua
	@ln -sf $< $@

$(B)/libcnn.a: $(COBJS)
	@rm -f $@
	ar rcs $@ $^

$(B)/libcnn.so: $(COBJS)
	$(CC) -shared -Wl,-soname,libcnn.so.0 $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/cnn.so: $(MOBJS) $(B)/libcnn.a
	$(CC) -shared $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/cnnlua: $(POBJS) $(MOBJS) $(B)/libcnn.a
	$(CC) $(LDFLAGS) -rdynamic -o $@ $^ $(LIBS) $(LUA_LIBS) -ledit

# The Lua half of the module is compiled in: one C array of name and source per file.
$(B)/prelude.c: bindings/embed.lua $(PRELUDE)
	@mkdir -p $(@D)
	lua5.4 bindings/embed.lua $(PRELUDE) > $@

$(B)/prelude.o: $(B)/prelude.c
	$(CC) $(CFLAGS) -c -o $@ $<

define kernel_rule
$(B)/%.$(1).o: %.c
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS) $$(ISA_$(1)) -DCNN_ISA=$(1) -c -o $$@ $$<
endef
$(foreach isa,$(ISAS),$(eval $(call kernel_rule,$(isa))))

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(B)/tests/c/%: tests/c/%.c $(B)/libcnn.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MF $@.d $(LDFLAGS) -o $@ $< $(B)/libcnn.a $(LIBS) $(LUA_LIBS) -lcmocka

$(B)/tests/bench/%: tests/bench/%.c $(B)/libcnn.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MF $@.d $(LDFLAGS) -o $@ $< $(B)/libcnn.a $(LIBS)

clean:
	rm -rf build cnnlua

# ---- setting the machine up -------------------------------------------------------------------------------

# Debian's packages: to build, to run, to test. Missing ones are installed where root or sudo may.
PACKAGES := gcc pkg-config lua5.4 liblua5.4-dev libopenblas-dev libstb-dev libhdf5-dev libzip-dev libcjson-dev \
            zlib1g-dev libedit-dev curl dataset-fashion-mnist
TEST_PACKAGES  := libcmocka-dev lua-unit lua-check clang-format util-linux
BENCH_PACKAGES := python3-torch

installed = $(shell dpkg-query -W -f '$${db:Status-Abbrev} $${binary:Package}\n' $(1) 2>/dev/null | sed -n 's/^ii  *\([^:]*\).*/\1/p')

define install_packages
@missing="$(filter-out $(call installed,$(1)),$(1))"; \
if [ -n "$$missing" ]; then \
    as_root=; [ "$$(id -u)" = 0 ] || as_root="sudo -n"; \
    if ! command -v apt-get >/dev/null || { [ -n "$$as_root" ] && ! $$as_root true 2>/dev/null; }; then \
        echo "These packages are missing; please install them: $$missing" >&2; exit 1; \
    fi; \
    $$as_root apt-get update && \
    DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y --no-install-recommends $$missing; \
fi
endef

setup:
	$(call install_packages,$(PACKAGES))

setup-test: setup
	$(call install_packages,$(TEST_PACKAGES))

setup-bench: setup
	$(call install_packages,$(BENCH_PACKAGES))

# ---- running ----------------------------------------------------------------------------------------------

JOBS := $(shell nproc 2>/dev/null || echo 1)

mnist: setup
	@$(MAKE) --no-print-directory -j$(JOBS) all
	./cnnlua scripts/mnist.lua

test: setup-test
	@$(MAKE) --no-print-directory -j$(JOBS) all $(CTESTS)
	@$(MAKE) --no-print-directory check

# Runs what is built. The data sets that tests look for lie in CNNLUA_DATA; those that need them skip without.
check:
	B=$(B) sh tests/run.sh

asan: setup-test
	@$(MAKE) --no-print-directory -j$(JOBS) FLAVOUR=asan all asan-tests
	@$(MAKE) --no-print-directory FLAVOUR=asan check

asan-tests: $(CTESTS)

lint: setup-test
	clang-format --dry-run -Werror $(wildcard core/*.h core/*/*.[ch] bindings/*.[ch] tests/c/*.[ch] tests/bench/*.c)
	luacheck -q bindings scripts datasets tests
	lua5.4 tests/lint/includes.lua

bench: setup-bench
	@$(MAKE) --no-print-directory -j$(JOBS) all $(B)/tests/bench/conv
	/usr/bin/python3 tests/bench/race.py
	$(B)/tests/bench/conv

# Makes the numbers of other frameworks that the tests compare with.
oracle: setup-bench
	$(call install_packages,python3-scipy)
	/usr/bin/python3 tests/oracle/make_oracle.py

# ---- installing -------------------------------------------------------------------------------------------

LUA_CMOD := $(PREFIX)/lib/lua/5.4
PC       := $(DESTDIR)$(PREFIX)/lib/pkgconfig/cnn.pc

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include
	install -d $(DESTDIR)$(LUA_CMOD) $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/cnnlua/scripts
	install -m 755 $(B)/cnnlua $(DESTDIR)$(PREFIX)/bin/cnnlua
	install -m 755 $(B)/libcnn.so $(DESTDIR)$(PREFIX)/lib/libcnn.so.$(VERSION)
	ln -sf libcnn.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libcnn.so.0
	ln -sf libcnn.so.0 $(DESTDIR)$(PREFIX)/lib/libcnn.so
	install -m 644 core/cnn.h $(DESTDIR)$(PREFIX)/include/cnn.h
	install -m 755 $(B)/cnn.so $(DESTDIR)$(LUA_CMOD)/cnn.so
	install -m 644 bindings/cnnlua.1 $(DESTDIR)$(PREFIX)/share/man/man1/cnnlua.1
	install -m 644 scripts/*.lua $(DESTDIR)$(PREFIX)/share/cnnlua/scripts
	printf 'prefix=%s\nName: cnn\nDescription: Convolutional neural networks on CPUs\nVersion: %s\nLibs: -L$${prefix}/lib -lcnn\nCflags: -I$${prefix}/include\n' \
	    '$(PREFIX)' '$(VERSION)' > $(PC)

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/cnnlua $(DESTDIR)$(PREFIX)/lib/libcnn.so* $(DESTDIR)$(PREFIX)/include/cnn.h
	rm -f $(DESTDIR)$(LUA_CMOD)/cnn.so $(PC) $(DESTDIR)$(PREFIX)/share/man/man1/cnnlua.1
	rm -rf $(DESTDIR)$(PREFIX)/share/cnnlua

-include $(shell find $(B) -name '*.d' 2>/dev/null)
