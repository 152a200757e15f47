#!/bin/sh
# `make install` into an empty folder, then everything it put there at work, away from the source tree; the archive of
# the source, the Debian packages and the rock, made and tried.
# Prints "ok NAME", "not ok NAME" or "skip NAME" for each test.
set -u
tree=$(pwd)
stage=$(mktemp -d) || exit 1
trap 'rm -rf "$stage"' EXIT
prefix=/opt/cnn
root=$stage/root$prefix
examples=$root/share/doc/cnnlua/examples
version=$(sed -n 's/^#define CNN_VERSION "\(.*\)"/\1/p' core/cnn.h)
archive=build/cnnlua-$version.tar.gz
bad=0

# check NAME: the test of that name, a function, must succeed.
check() {
    if "$1" >"$stage/out" 2>&1; then
        echo "ok $1"
    else
        echo "not ok $1"
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

installs() {
    quiet_make install
}

installs_every_file() {
    for file in bin/cnnlua lib/libcnn.so lib/libcnn.so.0 lib/libcnn.a include/cnn.h lib/pkgconfig/cnn.pc \
        lib/lua/5.4/cnn.so share/man/man1/cnnlua.1 share/man/man3/cnn.3 share/cnnlua/scripts/mnist.lua \
        share/bash-completion/completions/cnnlua share/doc/cnnlua/LICENSE share/doc/cnnlua/README.md \
        share/doc/cnnlua/examples/train.c; do
        [ -f "$root/$file" ] || { echo "no $file"; return 1; }
    done
    [ -z "$(find "$stage/root" -type l ! -exec test -e {} \; -print)" ]
}

names_itself_libcnn_so_0() {
    readelf -d "$root/lib/libcnn.so" | grep 'SONAME.*\[libcnn\.so\.0\]'
}

# names NM_ARGUMENT…: of what is defined, one a line.
names() {
    nm --defined-only "$@" | awk 'NF == 3 { print $3 }' | sort
}

exports_what_the_header_declares() {
    sed '/^#/d' "$root/include/cnn.h" | tr '\n' ' ' | grep -oE 'CNN_API [^(]*\(' | grep -oE 'cnn_[a-z0-9_]+\(' | tr -d '(' |
        sort >"$stage/declared"
    [ "$(wc -l <"$stage/declared")" -gt 100 ] || return 1
    names -D "$root/lib/libcnn.so" | diff "$stage/declared" - && names -g "$root/lib/libcnn.a" | diff "$stage/declared" -
}

module_exports_its_entry_only() {
    [ "$(names -D "$root/lib/lua/5.4/cnn.so")" = luaopen_cnn ]
}

# A closed Lua state unloads its modules, while our threads wait in their code.
stays_in_memory() {
    for file in lib/libcnn.so lib/lua/5.4/cnn.so; do
        readelf -d "$root/$file" | grep 'FLAGS.*NODELETE' || return 1
    done
}

leaves_debugging_to_the_build_tree() {
    for file in lib/libcnn.so lib/libcnn.a lib/lua/5.4/cnn.so bin/cnnlua; do
        ! readelf -S "$root/$file" | grep debug_info || return 1
    done
}

# What pkg-config says, with the prefix where it is staged.
cnn_flags() {
    PKG_CONFIG_PATH="$root/lib/pkgconfig" pkg-config --define-variable=prefix="$root" "$@" cnn
}

# compile OUT EXAMPLE FLAG…: an example as it was installed, by the strictest standard.
compile() {
    out=$1 example=$2
    shift 2
    (cd "$stage" && ${CC:-cc} -std=c11 -Wall -Wextra -pedantic -Werror -o "$out" "$examples/$example" "$@")
}

learns() {
    grep -E '^test accuracy: (1\.0|0\.9)[0-9]*, ' "$1"
}

c_program_trains_saves_and_loads() {
    compile train train.c $(cnn_flags --cflags --libs) &&
        away env LD_LIBRARY_PATH="$root/lib" ./train strokes.keras >"$stage/trained" &&
        learns "$stage/trained" && [ -s "$stage/strokes.keras" ]
}

c_program_reports_errors() {
    ! away env LD_LIBRARY_PATH="$root/lib" ./train model.keras no.gz none.gz 2>"$stage/error" &&
        grep -x 'train: idx_load: cannot open no.gz: No such file or directory' "$stage/error"
}

static_library_needs_no_shared_one() {
    compile static train.c $(cnn_flags --cflags) "$root/lib/libcnn.a" \
        $(cnn_flags --static --libs | sed 's/-lcnn //') &&
        away ./static static.keras >"$stage/trained" && learns "$stage/trained"
}

host_with_lua_classifies_a_picture() {
    compile host host.c $(pkg-config --cflags --libs lua5.4) &&
        away env LUA_CPATH="$root/lib/lua/5.4/?.so" ./host "$examples/classify.lua" strokes.keras >"$stage/class" &&
        grep -E '^class 2 with probability (1\.0|0\.[89])' "$stage/class"
}

host_with_lua_reports_errors() {
    ! away env LUA_CPATH="$root/lib/lua/5.4/?.so" ./host "$examples/classify.lua" no.keras 2>"$stage/error" &&
        grep -E '^host: .*classify.lua:[0-9]+: load_model: cannot open no.keras: No such file' "$stage/error"
}

header_is_fine_in_cplusplus() {
    printf '#include <cnn.h>\nint main() { return cnn_threads() == 0; }\n' >"$stage/use.cc"
    (cd "$stage" && c++ -std=c++11 -Wall -Wextra -pedantic -Werror -o use_cc use.cc $(cnn_flags --cflags --libs)) &&
        away env LD_LIBRARY_PATH="$root/lib" ./use_cc
}

pkg_config_knows_the_version() {
    [ "$(cnn_flags --modversion)" = "$version" ]
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

# Those that --help tells of, one a line.
options() {
    away "$root/bin/cnnlua" --help | sed -n 's/^  *\(-.*\)/\1/p' | sed 's/  .*//' |
        grep -oE -- '(^|[ ,])-[-a-zA-Z]+' | tr -d ' ,'
}

# The page is right as mdoc, and has every option of --help and every variable the sources ask for.
manual_is_well_formed() {
    mandoc -T lint -W warning "$root/share/man/man1/cnnlua.1"
}

manual_is_complete() {
    mandoc -T ascii "$root/share/man/man1/cnnlua.1" | sed 's/.\x08//g' >"$stage/manual" || return 1
    {
        options
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

# complete WORD…: what bash makes of a line that ends with the last word, in a folder with a script, a text and a folder.
complete() {
    (cd "$stage/place" && PATH="$root/bin:$PATH" bash --norc -c '. "$0" && COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) &&
        _cnnlua "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}" && printf "%s\n" "${COMPREPLY[@]}"' \
        "$root/share/bash-completion/completions/cnnlua" cnnlua "$@" | sort | tr '\n' ' ')
}

completion_is() {
    wanted=$1
    shift
    got=$(complete "$@")
    [ "$got" = "$wanted " ] || { echo "$*: expected $wanted, got $got"; return 1; }
}

bash_completes() {
    mkdir -p "$stage/place/folder" && touch "$stage/place/mine.lua" "$stage/place/notes.txt" || return 1
    digits=$root/share/cnnlua/scripts/mnist.lua
    completion_is "folder mine.lua" "" &&
        completion_is "--threads" --t &&
        completion_is "$root/share/cnnlua/scripts/convolution.lua" convol &&
        completion_is "" -e m && completion_is "mine.lua" -e 'x = 1' m &&
        completion_is "notes.txt" mine.lua n && completion_is "" mine.lua --e &&
        completion_is "--epochs" "$digits" --e && completion_is "folder" "$digits" --out f
}

bash_completes_every_option() {
    options | sort >"$stage/options"
    complete - | tr ' ' '\n' | grep . | diff "$stage/options" -
}

# To a prefix as it is, among files of others, which stay. The reference in HTML goes along where there is one.
uninstalls_what_it_installed() {
    plain=$stage/plain
    mkdir -p "$stage/doc/html/modules" && touch "$stage/doc/html/modules/layers.html" || return 1
    "${MAKE:-make}" -C "$tree" --no-print-directory install PREFIX="$plain" DOC="$stage/doc" || return 1
    [ "$("$plain/bin/cnnlua" -e 'print(1 + 1)')" = 2 ] && [ -f "$plain/share/doc/cnnlua/html/modules/layers.html" ] ||
        return 1
    mkdir -p "$plain/lib/lua/5.4" && touch "$plain/lib/lua/5.4/other.so" "$plain/share/cnnlua/scripts/mine.lua" &&
        "${MAKE:-make}" -C "$tree" --no-print-directory uninstall PREFIX="$plain" || return 1
    (cd "$plain" && find . ! -type d | sort) >"$stage/left"
    printf '%s\n' ./lib/lua/5.4/other.so ./share/cnnlua/scripts/mine.lua | diff - "$stage/left"
}

uninstalls_all() {
    quiet_make uninstall && [ -z "$(find "$stage/root" ! -type d -print)" ] &&
        [ -z "$(find "$stage/root" -name 'cnnlua*')" ]
}

# A commit gives one archive, with all that git has and nothing else.
packs_the_source() {
    "${MAKE:-make}" -C "$tree" --no-print-directory dist && mv "$archive" "$stage/first.tar.gz" && sleep 1 &&
        "${MAKE:-make}" -C "$tree" --no-print-directory dist && cmp "$archive" "$stage/first.tar.gz" || return 1
    tar -xzf "$archive" -C "$stage" || return 1
    git ls-tree -r --name-only HEAD | sort >"$stage/tracked"
    (cd "$stage/cnnlua-$version" && find . ! -type d | sed 's|^\./||' | sort) | diff "$stage/tracked" - &&
        "${MAKE:-make}" -C "$stage/cnnlua-$version" build/release/core/base/text.o
}

build_deb() {
    MAKE="${MAKE:-make} --no-print-directory" VERSION=$version DPKG_DEB_COMPRESSOR_TYPE=none \
        sh bindings/debian/build.sh "$1"
}

# What the four packages have, together, is what was installed; each at work, and the same again byte for byte.
builds_debian_packages() {
    build_deb "$stage/deb" || return 1
    for package in cnnlua lua-cnn libcnn0 libcnn-dev; do
        set -- "$stage/deb/${package}_${version}_"*.deb
        dpkg-deb -x "$1" "$stage/$package" && dpkg-deb -I "$1" >"$stage/$package.info" || return 1
        [ -s "$stage/$package/usr/share/doc/$package/copyright" ] || return 1
    done
    grep '^ Depends: .*libhdf5-.*liblua5.4-0' "$stage/cnnlua.info" && grep '^ Depends: libcnn0 (= ' "$stage/libcnn-dev.info" &&
        [ "$(away "$stage/cnnlua/usr/bin/cnnlua" -e 'print(cnn.version)')" = "$version" ] || return 1
    module=$(cd "$stage/lua-cnn" && ls usr/lib/*/lua/5.4/cnn.so)
    [ "$(away env LUA_CPATH="$stage/lua-cnn/${module%cnn.so}?.so" lua5.4 -e 'print(require "cnn".version)')" = "$version" ]
}

builds_the_same_debian_packages_again() {
    build_deb "$stage/again" || return 1
    for file in "$stage"/deb/*.deb; do cmp "$file" "$stage/again/${file##*/}" || return 1; done
}

rock() {
    HOME=$stage luarocks --lua-version=5.4 --tree="$stage/rocks" "$@"
}

builds_a_rock() {
    rock lint bindings/cnn-scm-1.rockspec && rock make bindings/cnn-scm-1.rockspec &&
        away env LUA_CPATH="$(rock path --lr-cpath)" lua5.4 -e 'print(require "cnn".ones{2})' >"$stage/ones" &&
        grep -xF '[1. 1.]' "$stage/ones"
}

check installs
[ "$bad" = 0 ] || exit 1
check installs_every_file
check names_itself_libcnn_so_0
check exports_what_the_header_declares
check module_exports_its_entry_only
check stays_in_memory
check leaves_debugging_to_the_build_tree
check c_program_trains_saves_and_loads
check c_program_reports_errors
check static_library_needs_no_shared_one
check host_with_lua_classifies_a_picture
check host_with_lua_reports_errors
if command -v c++ >/dev/null; then
    check header_is_fine_in_cplusplus
else
    echo "skip header_is_fine_in_cplusplus (no C++ compiler here)"
fi
check pkg_config_knows_the_version
check program_runs
if [ -d /usr/share/datasets/fashion-mnist ]; then
    check program_finds_the_data_package
else
    echo "skip program_finds_the_data_package (dataset-fashion-mnist is not installed)"
fi
check scripts_run
check stock_lua_takes_the_module
check nothing_mentions_the_tree
check manual_is_well_formed
check manual_is_complete
if command -v bash >/dev/null; then
    check bash_completes
    check bash_completes_every_option
else
    echo "skip bash_completes (no bash here)"
fi
check uninstalls_what_it_installed
check uninstalls_all
if git rev-parse HEAD >/dev/null 2>&1 && [ -e .git ]; then
    check packs_the_source
else
    echo "skip packs_the_source (this is no git checkout)"
fi
if command -v dpkg-shlibdeps >/dev/null; then
    check builds_debian_packages
    check builds_the_same_debian_packages_again
else
    echo "skip builds_debian_packages (dpkg-dev is not installed)"
fi
if command -v luarocks >/dev/null; then
    check builds_a_rock
else
    echo "skip builds_a_rock (luarocks is not installed)"
fi
exit $bad
