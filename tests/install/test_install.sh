#!/bin/sh
# `make install` into an empty folder, then everything it put there at work, away from the source tree.
# Prints "ok NAME", "not ok NAME" or "skip NAME" for each test.
set -u
tree=$(pwd)
stage=$(mktemp -d) || exit 1
trap 'rm -rf "$stage"' EXIT
prefix=/opt/cnn
root=$stage/root$prefix
bad=0

# check NAME COMMAND…: the command must succeed.
check() {
    name=$1
    shift
    if "$@" >"$stage/out" 2>&1; then
        echo "ok $name"
    else
        echo "not ok $name"
        sed 's/^/    /' "$stage/out"
        bad=1
    fi
}

# A clean environment, far from the tree, in which nothing but the system and the installed is found.
away() {
    (cd "$stage" && env -i PATH="$PATH" HOME="$stage" CNNLUA_MIRROR=http://127.0.0.1:9 "$@")
}

quiet_make() {
    (cd "$tree" && "${MAKE:-make}" --no-print-directory "$@" PREFIX="$prefix" DESTDIR="$stage/root")
}

installs_every_file() {
    for file in bin/cnnlua lib/libcnn.so lib/libcnn.so.0 include/cnn.h lib/pkgconfig/cnn.pc lib/lua/5.4/cnn.so \
        share/man/man1/cnnlua.1 share/cnnlua/scripts/mnist.lua; do
        [ -f "$root/$file" ] || { echo "no $file"; return 1; }
    done
    [ -z "$(find "$stage/root" -type l ! -exec test -e {} \; -print)" ]
}

names_itself_libcnn_so_0() {
    readelf -d "$root/lib/libcnn.so" | grep 'SONAME.*\[libcnn\.so\.0\]'
}

exports_the_public_names_only() {
    nm -D --defined-only "$root/lib/libcnn.so" | awk '{ print $NF }' | sort >"$stage/exported"
    grep -q . "$stage/exported" && ! grep -v '^cnn_' "$stage/exported"
}

exports_every_function_of_the_header() {
    grep -o '^CNN_API [^(]*' "$root/include/cnn.h" | grep -o 'cnn_[a-z0-9_]*$' | sort -u >"$stage/declared"
    grep -q . "$stage/declared" && ! comm -23 "$stage/declared" "$stage/exported" | grep .
}

module_exports_its_entry_only() {
    nm -D --defined-only "$root/lib/lua/5.4/cnn.so" | awk '{ print $NF }' >"$stage/entries"
    grep -qx luaopen_cnn "$stage/entries" && ! grep '^cnn_' "$stage/entries"
}

builds_a_c_program() {
    cat >"$stage/use.c" <<'END'
#include <cnn.h>
#include <stdio.h>

int main(void) {
    const int64_t shape[] = {2, 3};
    cnn_tensor *x = NULL, *y = NULL;
    if (cnn_tensor_full(&x, CNN_FLOAT32, 2, shape, 21) != CNN_OK || cnn_binary(&y, CNN_ADD, x, x) != CNN_OK) {
        fprintf(stderr, "%s\n", cnn_error_message());
        return 1;
    }
    printf("%g\n", cnn_f32(y)[5]);
    cnn_tensor_release(x);
    cnn_tensor_release(y);
    return 0;
}
END
    flags=$(PKG_CONFIG_PATH="$root/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$stage/root" pkg-config --cflags --libs cnn) &&
        (cd "$stage" && ${CC:-cc} -std=c11 -Wall -Wextra -pedantic -Werror -o use use.c $flags) &&
        away env LD_LIBRARY_PATH="$root/lib" ./use >"$stage/used" &&
        grep -x 42 "$stage/used"
}

header_is_fine_in_cplusplus() {
    printf '#include <cnn.h>\nint main() { return cnn_threads() == 0; }\n' >"$stage/use.cc"
    (cd "$stage" && c++ -Wall -Wextra -Werror -fsyntax-only -I "$root/include" use.cc)
}

pkg_config_knows_the_version() {
    version=$(PKG_CONFIG_PATH="$root/lib/pkgconfig" pkg-config --modversion cnn) &&
        grep "CNN_VERSION \"$version\"" "$root/include/cnn.h"
}

program_runs() {
    [ "$(away "$root/bin/cnnlua" -e 'print(cnn.ones{2}:sum():item())')" = 2.0 ]
}

program_finds_the_data_package() {
    away "$root/bin/cnnlua" -e 'print(#cnn.datasets.fashion_mnist.load_data())' >"$stage/size" &&
        grep -x 60000 "$stage/size"
}

scripts_run() {
    away "$root/bin/cnnlua" "$root/share/cnnlua/scripts/mnist.lua" --help
}

stock_lua_takes_the_module() {
    away env LUA_CPATH="$root/lib/lua/5.4/?.so" lua5.4 -e 'print(require "cnn".ones{2})' >"$stage/ones" &&
        grep -xF '[1. 1.]' "$stage/ones"
}

nothing_mentions_the_tree() {
    ! grep -rl --include='*.pc' --include='*.h' --include='*.1' --include='*.lua' -- "$tree" "$root"
}

# The page is right as mdoc, and has every option of --help and every variable the sources ask for.
manual_is_well_formed() {
    mandoc -T lint -W warning "$root/share/man/man1/cnnlua.1"
}

manual_is_complete() {
    mandoc -T ascii "$root/share/man/man1/cnnlua.1" | sed 's/.\x08//g' >"$stage/manual" || return 1
    {
        away "$root/bin/cnnlua" --help | sed -n 's/^  *\(-.*\)/\1/p' | sed 's/  .*//' |
            grep -oE -- '(^|[ ,])--?[a-zA-Z]+' | tr -d ' ,'
        grep -rhoE 'getenv[ (]*"[A-Z0-9_]+"' "$tree/core" "$tree/bindings" "$tree/datasets" |
            grep -oE '[A-Z][A-Z0-9_]+'
    } | sort -u >"$stage/wanted"
    grep -q -- --threads "$stage/wanted" || return 1
    while read -r word; do
        grep -qE -- "(^|[^A-Za-z0-9_-])$word([^A-Za-z0-9_]|\$)" "$stage/manual" ||
            { echo "no word of $word"; lacking=1; }
    done <"$stage/wanted"
    [ -z "${lacking:-}" ]
}

uninstalls_all() {
    quiet_make uninstall && [ -z "$(find "$stage/root" ! -type d -print)" ]
}

check install quiet_make install
[ "$bad" = 0 ] || exit 1
check installs_every_file installs_every_file
check names_itself_libcnn_so_0 names_itself_libcnn_so_0
check exports_the_public_names_only exports_the_public_names_only
check exports_every_function_of_the_header exports_every_function_of_the_header
check module_exports_its_entry_only module_exports_its_entry_only
check builds_a_c_program builds_a_c_program
if command -v c++ >/dev/null; then
    check header_is_fine_in_cplusplus header_is_fine_in_cplusplus
else
    echo "skip header_is_fine_in_cplusplus (no C++ compiler here)"
fi
check pkg_config_knows_the_version pkg_config_knows_the_version
check program_runs program_runs
if [ -d /usr/share/datasets/fashion-mnist ]; then
    check program_finds_the_data_package program_finds_the_data_package
else
    echo "skip program_finds_the_data_package (dataset-fashion-mnist is not installed)"
fi
check scripts_run scripts_run
check stock_lua_takes_the_module stock_lua_takes_the_module
check nothing_mentions_the_tree nothing_mentions_the_tree
check manual_is_well_formed manual_is_well_formed
check manual_is_complete manual_is_complete
check uninstalls_all uninstalls_all
exit $bad
