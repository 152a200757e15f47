# cnnlua: `make mnist` runs the main job, `make test` every test; each sets the machine up first.
#
# Objects lie under build/$(FLAVOUR); a flavour is a set of compiler flags (release, asan).
# Everything in core/ becomes libcnn; bindings/ becomes the module cnn.so and, with main.c, the program.
# CPPFLAGS, CFLAGS and LDFLAGS are the user's: they come after the flags from here.

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR    ?= $(PREFIX)/share
LUA_CDIR   ?= $(LIBDIR)/lua/5.4
DESTDIR    ?=

FLAVOUR ?= release
B       := build/$(FLAVOUR)
VERSION := $(shell sed -n 's/^.define CNN_VERSION "\(.*\)"/\1/p' core/cnn.h)
SOVERSION := 0

# Data sets beside the project are used where they are.
ifneq ($(wildcard ../shared/datasets),)
export CNNLUA_DATA ?= $(abspath ../shared/datasets)
endif

CC      ?= cc
STRIP   ?= strip
OBJCOPY ?= objcopy
# Lua 5.4: its program, its name for pkg-config (elsewhere than on Debian perhaps lua), its headers if not that one's.
LUA        ?= lua5.4
LUA_PKG    ?= lua5.4
LUA_INCDIR ?=
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
PROG_PKGS  := $(LUA_PKG) libedit chafa stb
PKG_CFLAGS  = $(eval PKG_CFLAGS := \
              $$(call lua_first,$$(shell pkg-config --cflags $(PKGS) $(PROG_PKGS) 2>/dev/null)))$(PKG_CFLAGS)
lua_first   = $(if $(filter-out $(1),$(LUA_INCDIR:%=-I%)),-I$(LUA_INCDIR) )$(1)
PKG_LIBS    = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS) 2>/dev/null))$(PKG_LIBS)
LUA_LIBS    = $(eval LUA_LIBS := $$(shell pkg-config --libs $(LUA_PKG) 2>/dev/null))$(LUA_LIBS)

COMPILE  = $(CC) $(CSTD) $(OPT) $(WARN) -fPIC -fvisibility=hidden -MMD -MP -Icore $(PKG_CFLAGS) \
           $(CPPFLAGS) $(CFLAGS)
LINK     = $(CC) $(filter -fsanitize=%,$(OPT)) -Wl,--as-needed $(LDFLAGS)
# Once loaded, a shared object stays: closing a Lua state unloads its modules, and our threads wait in that code.
SHARED   = -shared -Wl,-z,nodelete
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
MODULE   := $(filter-out bindings/main.c bindings/repl.c bindings/lines.c,$(wildcard bindings/*.c))
MOBJS    := $(MODULE:%.c=$(B)/%.o) $(B)/prelude.o $(B)/reference.o
DOCUMENTED := $(wildcard bindings/*.c) $(PRELUDE) $(CORE)
POBJS    := $(B)/bindings/main.o $(B)/bindings/repl.o $(B)/bindings/lines.o
BENCHES  := conv sweep dnnl warp images memory
CTESTS   := $(patsubst %.c,$(B)/%,$(wildcard tests/c/test_*.c tests/fuzz/*.c))

.PHONY: all programs setup setup-test setup-deb setup-bench mnist test check asan fuzz interop lint bench oracle doc screenshot \
        install uninstall module install-module deb dist clean FORCE
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
	$(LINK) $(SHARED) -Wl,-soname,libcnn.so.$(SOVERSION) -o $@ $(COBJS) $(LIBS)

# The module keeps libcnn's symbols to itself: a process may have another libcnn besides.
$(B)/cnn.so: $(MOBJS) $(B)/libcnn.a $(B)/parts
	$(LINK) $(SHARED) -Wl,--exclude-libs,ALL -o $@ $(MOBJS) $(B)/libcnn.a $(LIBS)

$(B)/cnnlua: $(POBJS) $(MOBJS) $(B)/libcnn.a $(B)/parts
	$(LINK) -rdynamic -o $@ $(POBJS) $(MOBJS) $(B)/libcnn.a $(LIBS) $(LUA_LIBS) -ledit

# The Lua half of the module is compiled in: one C array of name and source per file.
$(B)/prelude.c: bindings/embed.lua $(PRELUDE) $(B)/parts
	$(LUA) bindings/embed.lua lcnn_sources $(PRELUDE) > $@

# And so is help(), with what the comments say.
$(B)/reference.lua: bindings/document.lua $(DOCUMENTED) $(B)/parts
	$(LUA) bindings/document.lua $(DOCUMENTED) > $@

$(B)/reference.c: bindings/embed.lua bindings/help.lua $(B)/reference.lua
	$(LUA) bindings/embed.lua lcnn_reference bindings/help.lua $(B)/reference.lua > $@

$(B)/prelude.o $(B)/reference.o: $(B)/%.o: $(B)/%.c $(B)/flags
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
$(LINK) $(SHARED) $(LIBS) $(LUA_LIBS)
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
TEST_PACKAGES  := libcmocka-dev lua-unit lua-check lua-ldoc clang-format mandoc python3 python3-h5py graphviz tmux \
                  luarocks $(DEB_PACKAGES)
DEB_PACKAGES   := dpkg-dev
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

setup-deb: setup
	$(call install_packages,$(DEB_PACKAGES))

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
	@clang-format --dry-run -Werror $(wildcard core/*.h core/*/*.[ch] bindings/*.[ch] tests/c/*.[ch] \
	    tests/bench/*.c tests/fuzz/*.c tests/embed/*.c)
	@report=$$(luacheck -q --no-color bindings scripts datasets tests) || { echo "$$report"; exit 1; }
	@report=$$(mandoc -T lint -W warning bindings/cnnlua.1 2>&1) || { echo "$$report"; exit 1; }
	@$(LUA) tests/lint/includes.lua

bench: setup-bench
	$(BUILD) all $(BENCHES:%=$(B)/tests/bench/%)
	/usr/bin/python3 tests/bench/race.py
	/usr/bin/python3 tests/bench/sweep.py
	$(B)/tests/bench/conv
	$(B)/tests/bench/dnnl
	$(B)/tests/bench/warp
	$(B)/tests/bench/memory
	/usr/bin/python3 tests/bench/images.py

# Makes the numbers of other frameworks that the tests compare with.
oracle: setup-bench
	$(call install_packages,python3-scipy)
	/usr/bin/python3 tests/oracle/make_oracle.py
	/usr/bin/python3 tests/oracle/make_images.py
	/usr/bin/python3 tests/oracle/make_pictures.py
	/usr/bin/python3 tests/oracle/make_warp.py

# ---- documentation ----------------------------------------------------------------------------------------

# Both are made of what help() knows: the manual page cnn(3), and HTML in $(DOC)/html.
DOC  := build/doc
MAN3 := $(DOC)/cnn.3

doc: setup-test
	$(BUILD) $(MAN3) $(DOC)/html/index.html

$(MAN3): bindings/reference/make.lua bindings/cnnlua.1 $(B)/cnnlua
	@mkdir -p $(@D)
	$(B)/cnnlua $< man > $@

$(DOC)/html/index.html: $(wildcard bindings/reference/*) $(B)/cnnlua
	@rm -rf $(DOC)/source $(DOC)/html
	@mkdir -p $(DOC)/source
	$(B)/cnnlua bindings/reference/make.lua ldoc $(DOC)/source
	cd bindings/reference && ldoc -q -c config.ld .

# The picture of a session that README.md shows.
screenshot: all
	$(LUA) bindings/reference/screenshot.lua ./cnnlua bindings/reference/session.lua bindings/reference/prompt.svg

# ---- installing -------------------------------------------------------------------------------------------

# What is installed, a line each: its kind, the file here (of a link, what it points to), its place there. Folders may
# be missing here: `make doc` makes the reference.
define manifest_text
program $(B)/cnnlua $(BINDIR)/cnnlua
library $(B)/libcnn.so $(LIBDIR)/libcnn.so.$(VERSION)
link libcnn.so.$(VERSION) $(LIBDIR)/libcnn.so.$(SOVERSION)
link libcnn.so.$(SOVERSION) $(LIBDIR)/libcnn.so
file $(B)/static/libcnn.a $(LIBDIR)/libcnn.a
file core/cnn.h $(INCLUDEDIR)/cnn.h
file $(B)/cnn.pc $(LIBDIR)/pkgconfig/cnn.pc
library $(B)/cnn.so $(LUA_CDIR)/cnn.so
file bindings/cnnlua.1 $(DATADIR)/man/man1/cnnlua.1
file $(MAN3) $(DATADIR)/man/man3/cnn.3
file bindings/cnnlua.bash $(DATADIR)/bash-completion/completions/cnnlua
$(call each,$(wildcard scripts/*.lua),$(DATADIR)/cnnlua/scripts)
$(call each,$(wildcard LICENSE README*.md),$(DATADIR)/doc/cnnlua)
$(call each,$(wildcard tests/embed/*.c tests/embed/*.lua),$(DATADIR)/doc/cnnlua/examples)
folder $(DOC)/html $(DATADIR)/doc/cnnlua/html
endef

each = $(foreach name,$(1),file $(name) $(2)/$(notdir $(name))$(newline))
define newline


endef

# Folders in DATADIR that nobody else uses, the inner ones first.
OWN_FOLDERS := cnnlua/scripts cnnlua doc/cnnlua/examples doc/cnnlua

define pc_text
prefix=$(PREFIX)
includedir=$(subst $(PREFIX)/,$${prefix}/,$(INCLUDEDIR))
libdir=$(subst $(PREFIX)/,$${prefix}/,$(LIBDIR))

Name: cnn
Description: Convolutional neural networks on CPUs
Version: $(VERSION)
Libs: -L$${libdir} -lcnn
Libs.private: $(LIBS)
Cflags: -I$${includedir}
endef

# For programs that want to be linked statically: one object, in which only what cnn.h declares has a name.
$(B)/static/libcnn.a: $(COBJS) $(B)/parts
	@mkdir -p $(@D)
	$(LD) -r -o $(@D)/libcnn.o $(COBJS)
	$(OBJCOPY) --localize-hidden --strip-unneeded --remove-section=.comment $(@D)/libcnn.o
	@rm -f $@
	$(AR) rcs $@ $(@D)/libcnn.o

# Programs and libraries lose what only debuggers read, nine tenths of them; STRIP=: leaves it.
install: all $(B)/static/libcnn.a $(MAN3)
	$(file >$(B)/cnn.pc,$(pc_text))$(file >$(B)/manifest,$(manifest_text))
	@while read -r kind file place; do \
	    [ -n "$$kind" ] || continue; \
	    [ $$kind != folder ] || [ -d "$$file" ] || continue; \
	    place="$(DESTDIR)$$place"; \
	    echo "$$place"; \
	    mkdir -p "$${place%/*}" && \
	    case $$kind in \
	    program) install -m 755 "$$file" "$$place" && $(STRIP) "$$place" ;; \
	    library) install -m 644 "$$file" "$$place" && $(STRIP) "$$place" ;; \
	    link) ln -sf "$$file" "$$place" ;; \
	    file) install -m 644 "$$file" "$$place" ;; \
	    folder) rm -rf "$$place" && cp -R "$$file" "$$place" && chmod -R u=rwX,go=rX "$$place" ;; \
	    esac || exit 1; \
	done <$(B)/manifest
	@[ -n "$(DESTDIR)" ] || ldconfig 2>/dev/null || true

# Takes away what install put there, and nothing else.
uninstall: | $(B)
	$(file >$(B)/manifest,$(manifest_text))
	@while read -r kind file place; do \
	    case $$kind in \
	    folder) rm -rf "$(DESTDIR)$$place" ;; \
	    ?*) rm -f "$(DESTDIR)$$place" ;; \
	    esac; \
	done <$(B)/manifest
	@for folder in $(OWN_FOLDERS); do rmdir "$(DESTDIR)$(DATADIR)/$$folder" 2>/dev/null || true; done

# The module alone, to LUA_CDIR: what LuaRocks asks for.
module: $(B)/cnn.so

install-module: module
	mkdir -p "$(DESTDIR)$(LUA_CDIR)"
	install -m 644 $(B)/cnn.so "$(DESTDIR)$(LUA_CDIR)/cnn.so"
	$(STRIP) "$(DESTDIR)$(LUA_CDIR)/cnn.so"

# Debian packages, in $(B)/deb.
deb: setup setup-deb
	$(BUILD) all $(B)/static/libcnn.a $(MAN3)
	@MAKE="$(SUBMAKE)" VERSION=$(VERSION) sh bindings/debian/build.sh $(B)/deb

# The source as one file. A commit always gives the same bytes.
dist:
	@[ -e .git ] || { echo "make dist packs what git has; here is no .git." >&2; exit 1; }
	@git diff --quiet HEAD || echo "Changes that are not committed are not in it." >&2
	@mkdir -p build
	git archive --prefix=cnnlua-$(VERSION)/ -o build/cnnlua-$(VERSION).tar HEAD
	gzip -9nf build/cnnlua-$(VERSION).tar

-include $(shell find $(B) -name '*.d' 2>/dev/null)
