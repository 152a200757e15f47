# cnnlua: `make mnist` runs the main job, `make test` every test; each sets the machine up first.
#
# Objects lie under build/$(FLAVOUR); a flavour is a set of compiler flags (release, asan).
# Everything in core/ becomes libcnn; bindings/ becomes the module cnn.so and, with main.c, the program.
# CPPFLAGS, CFLAGS and LDFLAGS are the user's: they come after the flags from here.

PREFIX  ?= /usr/local
DESTDIR ?=
FLAVOUR ?= release
B       := build/$(FLAVOUR)
VERSION := $(shell sed -n 's/^.define CNN_VERSION "\(.*\)"/\1/p' core/cnn.h)
SOVERSION := 0

# Data sets beside the project are used where they are.
ifneq ($(wildcard ../shared/datasets),)
export CNNLUA_DATA ?= $(abspath ../shared/datasets)
endif

CC      ?= cc
CSTD    := -std=c11 -D_GNU_SOURCE
WARN    := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes
WARN    += $(if $(findstring clang,$(CC)),-Wno-unknown-pragmas)
ifeq ($(FLAVOUR),asan)
OPT     := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
else
OPT     := -O3 -g -fno-math-errno -fno-trapping-math
endif
# Sums of products are fused where the source says so, and not where one instruction set happens to allow it.
OPT     += -ffp-contract=off

# pkg-config is itself one of the packages that setup installs: it is asked when something is compiled, once.
PKGS       := openblas hdf5 libzip libcjson libjpeg zlib
PROG_PKGS  := lua5.4 libedit chafa stb
PKG_CFLAGS  = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS) $(PROG_PKGS) 2>/dev/null))$(PKG_CFLAGS)
PKG_LIBS    = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS) 2>/dev/null))$(PKG_LIBS)
LUA_LIBS    = $(eval LUA_LIBS := $$(shell pkg-config --libs lua5.4 2>/dev/null))$(LUA_LIBS)

COMPILE  = $(CC) $(CSTD) $(OPT) $(WARN) -fPIC -fvisibility=hidden -MMD -MP -Icore $(PKG_CFLAGS) \
           $(CPPFLAGS) $(CFLAGS)
LINK     = $(CC) $(filter -fsanitize=%,$(OPT)) -Wl,--as-needed $(LDFLAGS)
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
BENCHES  := conv sweep dnnl warp images
CTESTS   := $(patsubst %.c,$(B)/%,$(wildcard tests/c/test_*.c tests/fuzz/*.c))

.PHONY: all programs setup setup-test setup-bench mnist test check asan fuzz interop lint bench oracle install uninstall clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(if $(filter release,$(FLAVOUR)),cnnlua) $(B)/cnnlua $(B)/cnn.so $(B)/libcnn.so

# All that `make check` runs.
programs: all $(CTESTS)

cnnlua: $(B)/cnnlua
	@ln -sf $< $@

$(B)/libcnn.a: $(COBJS) $(B)/parts
	@rm -f $@
	ar rcs $@ $(COBJS)

$(B)/libcnn.so: $(COBJS) $(B)/parts
	$(LINK) -shared -Wl,-soname,libcnn.so.$(SOVERSION) -o $@ $(COBJS) $(LIBS)

# The module keeps libcnn's symbols to itself: a process may have another libcnn besides.
$(B)/cnn.so: $(MOBJS) $(B)/libcnn.a $(B)/parts
	$(LINK) -shared -Wl,--exclude-libs,ALL -o $@ $(MOBJS) $(B)/libcnn.a $(LIBS)

$(B)/cnnlua: $(POBJS) $(MOBJS) $(B)/libcnn.a $(B)/parts
	$(LINK) -rdynamic -o $@ $(POBJS) $(MOBJS) $(B)/libcnn.a $(LIBS) $(LUA_LIBS) -ledit

# The Lua half of the module is compiled in: one C array of name and source per file.
$(B)/prelude.c: bindings/embed.lua $(PRELUDE) $(B)/parts
	lua5.4 bindings/embed.lua $(PRELUDE) > $@

$(B)/prelude.o: $(B)/prelude.c $(B)/flags
	$(COMPILE) -c -o $@ $<

define kernel_rule
$(B)/%.$(1).o: %.c $(B)/flags
	@mkdir -p $$(@D)
	$$(COMPILE) $$(ISA_$(1)) -DCNN_ISA=$(1) -c -o $$@ $$<
endef
$(foreach isa,$(ISAS),$(eval $(call kernel_rule,$(isa))))

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ $<

$(B)/tests/c/%: tests/c/%.c $(B)/libcnn.a $(B)/flags
	@mkdir -p $(@D)
	$(COMPILE) -MF $@.d -o $@ $< $(B)/libcnn.a $(LDFLAGS) $(LIBS) $(LUA_LIBS) -lcmocka

$(B)/tests/fuzz/%: tests/fuzz/%.c $(B)/libcnn.a $(B)/flags
	@mkdir -p $(@D)
	$(COMPILE) -MF $@.d -o $@ $< $(B)/libcnn.a $(LDFLAGS) $(LIBS)

$(B)/tests/bench/%: tests/bench/%.c $(B)/libcnn.a $(B)/flags
	@mkdir -p $(@D)
	$(COMPILE) -MF $@.d -o $@ $< $(B)/libcnn.a $(LDFLAGS) $(LIBS)

# C++, as oneDNN's own interface is.
$(B)/tests/bench/dnnl: tests/bench/dnnl.cpp $(B)/libcnn.a $(B)/flags
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O2 -g -Wall -Wextra -fopenmp -MMD -MP -MF $@.d -Icore $(CPPFLAGS) $(CXXFLAGS) -o $@ $< \
	    $(B)/libcnn.a $(LDFLAGS) -ldnnl $(LIBS)

# Two files that change only when what they say does: how things are compiled, and what is put together of
# what. Whatever follows from one of them depends on it.
define flags_text
$(COMPILE)
$(foreach isa,$(ISAS),$(isa) $(ISA_$(isa)))
endef

define parts_text
$(LINK) $(LIBS) $(LUA_LIBS)
$(COBJS)
$(MOBJS)
$(PRELUDE)
endef

define keep_text
@pkg-config --print-errors --exists $(PKGS) $(PROG_PKGS) || { echo "'make setup' installs what is missing." >&2; exit 1; }
$(file >$@.new,$($(@F)_text))
@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
endef

$(B)/flags $(B)/parts: FORCE | $(B)
	$(keep_text)

$(B):
	@mkdir -p $@

FORCE:

clean:
	rm -rf build cnnlua

# ---- setting the machine up -------------------------------------------------------------------------------

# Debian's packages: to build and run, to test, to race. Missing ones are installed where root or sudo may.
PACKAGES := gcc libc6-dev pkg-config lua5.4 liblua5.4-dev libopenblas-dev libstb-dev libhdf5-dev libzip-dev \
            libcjson-dev libjpeg-dev zlib1g-dev libedit-dev libchafa-dev libglib2.0-dev curl ca-certificates \
            gnuplot-nox dataset-fashion-mnist
TEST_PACKAGES  := libcmocka-dev lua-unit lua-check lua-ldoc clang-format mandoc python3 python3-h5py graphviz tmux
BENCH_PACKAGES := python3-torch python3-pil g++ libdnnl-dev

installed = $(shell dpkg-query -W -f '$${db:Status-Abbrev} $${binary:Package}\n' $(1) 2>/dev/null | sed -n 's/^.i  *\([^: ]*\).*/\1/p')

APT_GET := apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3

define install_packages
@missing="$(filter-out $(call installed,$(1)),$(1))"; \
[ -n "$$missing" ] || exit 0; \
if ! command -v dpkg-query >/dev/null; then \
    echo "This is no Debian; what it calls $$missing should be here." >&2; exit 0; \
fi; \
as_root=; [ "$$(id -u)" = 0 ] || as_root="sudo -n"; \
if ! command -v apt-get >/dev/null || ! $$as_root true 2>/dev/null; then \
    echo "These packages are missing, and only root can install them:" >&2; \
    echo "    apt-get install $$missing" >&2; exit 1; \
fi; \
echo "Installing $$missing"; \
$$as_root $(APT_GET) update </dev/null; \
$$as_root env DEBIAN_FRONTEND=noninteractive $(APT_GET) install -y --no-install-recommends $$missing </dev/null
endef

setup:
	$(call install_packages,$(PACKAGES))

setup-test: setup
	$(call install_packages,$(TEST_PACKAGES))

setup-bench: setup
	$(call install_packages,$(BENCH_PACKAGES))

# ---- running ----------------------------------------------------------------------------------------------

# As many jobs as there are cores, unless make was told already.
SUBMAKE = $(MAKE) --no-print-directory
BUILD   = @$(SUBMAKE) $(if $(findstring --jobserver,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 1))

mnist: setup
	$(BUILD) all
	./cnnlua scripts/mnist.lua

test: setup-test
	$(BUILD) programs
	@$(SUBMAKE) check

# Runs what is built. The data sets that tests look for lie in CNNLUA_DATA; those that need them skip without.
check:
	@B=$(B) sh tests/run.sh $(CTESTS)

asan:
	@$(SUBMAKE) FLAVOUR=asan test

# Damaged files, every one of them; `make test` tries a part.
fuzz: setup
	$(BUILD) FLAVOUR=asan build/asan/tests/fuzz/damage build/asan/tests/fuzz/pictures
	ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 build/asan/tests/fuzz/damage 1
	ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 build/asan/tests/fuzz/pictures 1000000

# Readers that others wrote open the files of ours. They are fetched from npm, which needs node and a network.
interop: setup
	$(BUILD) all
	@mkdir -p build/interop
	cp tests/interop/package.json tests/interop/*.mjs build/interop
	cd build/interop && npm install --no-package-lock --no-audit --no-fund --silent
	./cnnlua tests/interop/make_models.lua build/interop
	cd build/interop && node read_h5.mjs && node read_topology.mjs

lint: setup-test
	@clang-format --dry-run -Werror $(wildcard core/*.h core/*/*.[ch] bindings/*.[ch] tests/c/*.[ch] tests/bench/*.c tests/fuzz/*.c)
	@report=$$(luacheck -q --no-color bindings scripts datasets tests) || { echo "$$report"; exit 1; }
	@report=$$(mandoc -T lint -W warning bindings/cnnlua.1 2>&1) || { echo "$$report"; exit 1; }
	@lua5.4 tests/lint/includes.lua

bench: setup-bench
	$(BUILD) all $(BENCHES:%=$(B)/tests/bench/%)
	/usr/bin/python3 tests/bench/race.py
	/usr/bin/python3 tests/bench/sweep.py
	$(B)/tests/bench/conv
	$(B)/tests/bench/dnnl
	$(B)/tests/bench/warp
	/usr/bin/python3 tests/bench/images.py

# Makes the numbers of other frameworks that the tests compare with.
oracle: setup-bench
	$(call install_packages,python3-scipy)
	/usr/bin/python3 tests/oracle/make_oracle.py
	/usr/bin/python3 tests/oracle/make_images.py
	/usr/bin/python3 tests/oracle/make_pictures.py
	/usr/bin/python3 tests/oracle/make_warp.py

# ---- installing -------------------------------------------------------------------------------------------

ROOT   = $(DESTDIR)$(PREFIX)
CMOD   = lib/lua/5.4
FOLDERS = bin include lib/pkgconfig $(CMOD) share/man/man1 share/cnnlua/scripts

define pc_text
prefix=$(PREFIX)
includedir=$${prefix}/include
libdir=$${prefix}/lib

Name: cnn
Description: Convolutional neural networks on CPUs
Version: $(VERSION)
Libs: -L$${libdir} -lcnn
Cflags: -I$${includedir}
endef

install: all
	install -d $(FOLDERS:%=$(ROOT)/%)
	install -m 755 $(B)/cnnlua $(ROOT)/bin/cnnlua
	install -m 755 $(B)/libcnn.so $(ROOT)/lib/libcnn.so.$(VERSION)
	ln -sf libcnn.so.$(VERSION) $(ROOT)/lib/libcnn.so.$(SOVERSION)
	ln -sf libcnn.so.$(SOVERSION) $(ROOT)/lib/libcnn.so
	install -m 644 core/cnn.h $(ROOT)/include/cnn.h
	$(file >$(B)/cnn.pc,$(pc_text))install -m 644 $(B)/cnn.pc $(ROOT)/lib/pkgconfig/cnn.pc
	install -m 755 $(B)/cnn.so $(ROOT)/$(CMOD)/cnn.so
	install -m 644 bindings/cnnlua.1 $(ROOT)/share/man/man1/cnnlua.1
	install -m 644 scripts/*.lua $(ROOT)/share/cnnlua/scripts
	@if [ -z "$(DESTDIR)" ]; then ldconfig 2>/dev/null || true; fi

uninstall:
	rm -f $(ROOT)/bin/cnnlua $(ROOT)/include/cnn.h $(ROOT)/lib/pkgconfig/cnn.pc $(ROOT)/$(CMOD)/cnn.so
	rm -f $(ROOT)/lib/libcnn.so $(ROOT)/lib/libcnn.so.$(SOVERSION) $(ROOT)/lib/libcnn.so.$(VERSION)
	rm -f $(ROOT)/share/man/man1/cnnlua.1
	rm -rf $(ROOT)/share/cnnlua

-include $(shell find $(B) -name '*.d' 2>/dev/null)
